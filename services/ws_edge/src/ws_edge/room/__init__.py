"""One life of a room on this worker: entries of its log come in, frames for its members go out."""
