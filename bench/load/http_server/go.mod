module sealbench.org/bench/load/http-server

go 1.26.6
