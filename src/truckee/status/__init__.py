"""What is under way: tasks, how far each is, and how fast it goes."""
