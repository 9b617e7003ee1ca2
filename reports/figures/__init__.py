"""Pictures: functions that return a figure, in one style."""
