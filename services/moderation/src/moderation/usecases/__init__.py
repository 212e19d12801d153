"""What the service does, one module a purpose: functions whose first argument is Ports."""
