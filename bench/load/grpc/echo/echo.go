// Package echo names the one call that server and generator share. Its messages are those of echo.proto, which have the
// wire format of google.protobuf.StringValue, so that no generated code is needed here.
package echo

// Service and Ask as echo.proto has them.
const (
	Service = "bench.Echo"
	Ask     = "Ask"
	Path    = "/" + Service + "/" + Ask
)
