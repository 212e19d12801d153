#!/bin/sh
# Called by `make load`. SCENARIO, URL, USERS, SPAWN_RATE and TIME choose; the report goes to loadtests/out/.
set -eu
cd "$(dirname "$0")/.."
scenario=${SCENARIO:-many_small_rooms}
users=200 rate=50 time=60s
case $scenario in
  many_small_rooms | reconnect_storm) ;;
  # More than ROOMS_PRESENCE_BROADCAST_LIMIT, and slowly: until there each hears of everybody, and locust of all that.
  one_huge_room) users=600 rate=10 time=120s ;;
  *)
    echo "make load: SCENARIO=$scenario: choose many_small_rooms, one_huge_room or reconnect_storm" >&2
    exit 2
    ;;
esac
export SCENARIO="$scenario" URL="${URL:-ws://127.0.0.1:8000}"
export PYTHONPATH=$PWD
mkdir -p loadtests/out
status=0
.venv-load/bin/locust -f loadtests/locustfile.py --headless --only-summary --stop-timeout 5 \
  -u "${USERS:-$users}" -r "${SPAWN_RATE:-$rate}" -t "${TIME:-$time}" --html "loadtests/out/$scenario.html" --csv "loadtests/out/$scenario" || status=$?
echo "Report: loadtests/out/$scenario.html"
exit "$status"
