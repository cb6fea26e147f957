module sealbench.org/harness

go 1.26.6
