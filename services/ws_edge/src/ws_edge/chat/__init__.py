"""One client, from its arrival to its end, and the connections and rooms of one worker."""
