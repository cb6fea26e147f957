module sealbench.org/bench/bare-client

go 1.26.6

require sealbench.org/sdks/net-http v0.0.0

replace sealbench.org/sdks/net-http => ../../images/sdks/net-http
