"""What people read and rebuild by hand: Dockerfile, compose project, seccomp profile. Same input, same bytes."""
