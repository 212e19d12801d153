"""What a frame is and what one client may do: plain functions and objects without I/O and without a clock."""
