"""What each stage looks at, from the facts of one pass. Pure but for stage 7, which looks at this machine."""
