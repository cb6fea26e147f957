package main

import "unicode/utf8"

const (
	stampDigits = 18
	stampPieces = 4
	pieceScale  = 65536

	// The characters of the scenario "chinese": U+4E00 to U+9FA5, four to a token, so that a lost or exchanged one shows.
	firstHan      = 0x4e00
	numberOfHan   = 0x9fa5 - firstHan + 1
	hanPerToken   = 4
	bigTokenIndex = 63
)

// appendStamp appends one token of exactly 20 characters: "w", the write time in 18 digits, a blank.
func appendStamp(to []byte, ns int64) []byte {
	to = append(to, 'w')
	from := len(to)
	to = append(to, "000000000000000000"...)
	for i := from + stampDigits - 1; ns > 0 && i >= from; i-- {
		to[i] = byte('0' + ns%10)
		ns /= 10
	}
	return append(to, ' ')
}

// appendToken appends the text of token i: the stamp, or what the scenario says. It needs no escaping in JSON.
func (a *ask) appendToken(to []byte, i int, ns int64) []byte {
	switch {
	case a.play.frame > 0 && i == min(bigTokenIndex, a.play.tokens-1):
		for j := range a.play.frame {
			to = append(to, byte('a'+j%26))
		}
		return to
	case a.play.chinese:
		for j := range hanPerToken {
			to = utf8.AppendRune(to, rune(firstHan+(hanPerToken*i+j)%numberOfHan))
		}
		return to
	}
	return appendStamp(to, ns)
}

// appendText appends the whole answer's text.
func (a *ask) appendText(to []byte, ns int64) []byte {
	for i := range a.play.tokens {
		to = a.appendToken(to, i, ns)
	}
	return to
}
