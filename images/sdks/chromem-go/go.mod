module sealbench.org/sdks/chromem-go

go 1.26.6

require github.com/philippgille/chromem-go v0.7.0
