package harness

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
)

const pictureSide = 56

// picture is a PNG of 56 x 56 pixels, a pure function of variant: coarse colour fields, so that a vision model that
// averages patches of 14 x 14 pixels still tells two variants apart.
func picture(variant uint64) Image {
	const field = 14
	canvas := image.NewRGBA(image.Rect(0, 0, pictureSide, pictureSide))
	state := splitmix(variant + 1)
	for top := 0; top < pictureSide; top += field {
		for left := 0; left < pictureSide; left += field {
			n := state.next()
			shade := color.RGBA{uint8(n), uint8(n >> 8), uint8(n >> 16), 255}
			for y := top; y < top+field; y++ {
				for x := left; x < left+field; x++ {
					canvas.SetRGBA(x, y, shade)
				}
			}
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, canvas); err != nil {
		panic(err) // a buffer takes everything, and the picture has a size
	}
	return Image{MIME: "image/png", Data: out.Bytes()}
}
