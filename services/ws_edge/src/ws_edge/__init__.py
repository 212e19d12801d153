"""The edge of Salon: sockets, the chat protocol and fan-out."""
