module sealbench.org/stub

go 1.26.6
