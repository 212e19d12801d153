"""Where the ports meet the database, NATS, the moderation service and the video catalogue."""
