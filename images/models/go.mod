module sealbench.org/models

go 1.26.6
