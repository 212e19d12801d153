// Socket.IO: its own rooms, the WebSocket transport alone.
const http = require("http");
const { Server } = require("socket.io");

let lastId = 0;

function messageOf(text, number, room) {
  lastId += 1;
  return {
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
  };
}

const server = http.createServer();
const io = new Server(server, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });
io.on("connection", (socket) => {
  const room = Number(socket.handshake.query.room);
  const number = Number(socket.handshake.query.number);
  const name = `room-${room}`;
  socket.join(name);
  socket.on("m", (frame) => io.to(name).emit("m", messageOf(frame.data.message, number, room)));
  const count = io.sockets.adapter.rooms.get(name).size;
  socket.emit("m", { type: "room_joined", data: { room_id: room, connection_count: count, last_id: lastId } });
});
server.listen(Number(process.argv[2]), "127.0.0.1", 4096);
