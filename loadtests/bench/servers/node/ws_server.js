// The `ws` library: rooms as sets of sockets, a message goes to each member in turn.
const http = require("http");
const { WebSocketServer } = require("ws");

const rooms = new Map();
let lastId = 0;

function frameOf(text, number, room) {
  lastId += 1;
  return JSON.stringify({
    type: "chat_message",
    data: {
      id: lastId,
      message: text,
      username: `load_${number}`,
      user_id: 1000000 + number,
      timestamp: new Date().toISOString(),
      room_id: 1000000000 + room,
      prev_id: lastId - 1,
    },
  });
}

const server = http.createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false });
sockets.on("connection", (socket, request) => {
  const [, , group, index] = request.url.split("/");
  const room = Number(group);
  const number = Number(index);
  const members = rooms.get(room) ?? new Set();
  rooms.set(room, members);
  members.add(socket);
  socket.on("message", (data) => {
    const frame = Buffer.from(frameOf(JSON.parse(data).data.message, number, room));
    for (const member of members) member.send(frame, { binary: false });
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    members.delete(socket);
    if (members.size === 0) rooms.delete(room);
  });
  const joined = { room_id: 1000000000 + room, connection_count: members.size, last_id: lastId };
  socket.send(JSON.stringify({ type: "room_joined", data: joined }));
});
server.listen(Number(process.argv[2]), "127.0.0.1", 4096);
