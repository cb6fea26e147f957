module sealbench.org/sdks/net-http

go 1.26.6
