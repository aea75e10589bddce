"""What makes training and building fast, put in from outside: no network and no score knows of it."""
