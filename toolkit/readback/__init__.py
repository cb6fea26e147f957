"""What was asked is what happened, or the run says so.

``rows`` says what each limit should read as, ``engine_view`` and ``host_view`` read it from outside, the in-container
agent reads it from inside, ``decide`` compares: every row ends *held*, *broken*, *unwitnessed* or *absent*.
"""
