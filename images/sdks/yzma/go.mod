module sealbench.org/sdks/yzma

go 1.26.6

require (
	github.com/hybridgroup/yzma v1.28.0
	github.com/jupiterrider/ffi v0.7.0
)

require (
	github.com/ardanlabs/jinja v1.1.0 // indirect
	github.com/ebitengine/purego v0.10.0 // indirect
	golang.org/x/sys v0.42.0 // indirect
)
