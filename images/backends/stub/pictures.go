package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"image/png"
	"strings"
	"sync/atomic"
)

// picture is an image of a request.
type picture struct {
	data   []byte
	sha256 string
}

// pictures checks that images arrived whole. A launch sends the same one again and again: what was right once is only
// compared from then on, so that a check costs next to nothing.
type pictures struct {
	known atomic.Pointer[picture]
}

func (p *pictures) check(image *picture) error {
	if known := p.known.Load(); known != nil && bytes.Equal(known.data, image.data) {
		*image = *known
		return nil
	}
	if _, err := png.Decode(bytes.NewReader(image.data)); err != nil {
		return badRequest("the image is not a PNG: %v", err)
	}
	sum := sha256.Sum256(image.data)
	image.sha256 = hex.EncodeToString(sum[:])
	fresh := *image
	p.known.Store(&fresh)
	return nil
}

// fromDataURI reads "data:image/png;base64,...".
func fromDataURI(uri string) (picture, error) {
	kind, encoded, found := strings.Cut(uri, ";base64,")
	if !found || !strings.HasPrefix(kind, "data:image/") {
		return picture{}, badRequest("an image must be a data URI in base64: this backend fetches nothing")
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return picture{}, badRequest("an image is not base64: %v", err)
	}
	return picture{data: data}, nil
}
