"""What a threshold does to a partition, drawn before anything is built."""
