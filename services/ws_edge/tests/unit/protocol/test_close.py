"""The close codes, by their numbers on the wire."""

from ws_edge.protocol.errors import CloseCode


def test_close_codes_have_the_numbers_of_the_contract() -> None:
    assert {code.name: int(code) for code in CloseCode} == {
        "NORMAL": 1000,
        "GOING_AWAY": 1001,
        "PROTOCOL_ERROR": 1002,
        "INVALID_PAYLOAD": 1007,
        "POLICY_VIOLATION": 1008,
        "TOO_BIG": 1009,
        "INTERNAL": 1011,
        "SERVICE_RESTART": 1012,
        "TRY_AGAIN_LATER": 1013,
        "FORBIDDEN": 4003,
        "NOT_FOUND": 4004,
    }
