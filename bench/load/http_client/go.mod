module sealbench.org/bench/load/http-client

go 1.26.6

require sealbench.org/harness v0.0.0

replace sealbench.org/harness => ../../../images/harness
