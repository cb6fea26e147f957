package main

import (
	"encoding/json"
	"io"
)

// object is a JSON object; encoding/json writes its keys sorted.
type object = map[string]any

var specials = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}

// tokens is a WordPiece vocabulary: special tokens, single characters alone and inside a word, made-up words. A text of
// n such words is n + 2 tokens.
func (e encoder) tokens() []string {
	found := append([]string(nil), specials...)
	const characters = "abcdefghijklmnopqrstuvwxyz0123456789"
	for _, prefix := range []string{"", "##"} {
		for _, c := range characters {
			found = append(found, prefix+string(c))
		}
	}
	for _, c := range ".,;:!?-()'\"" {
		found = append(found, string(c))
	}
	for i := range e.words {
		found = append(found, word(i))
	}
	return found
}

func (e encoder) tokenizerFiles() map[string]any {
	ids := object{}
	for id, token := range e.tokens() {
		ids[token] = id
	}
	names := object{
		"cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]",
	}
	settings := object{"do_lower_case": true, "model_max_length": e.positions, "tokenizer_class": "BertTokenizer"}
	for key, value := range names {
		settings[key] = value
	}
	return map[string]any{
		"config.json":             e.config(len(ids)),
		"special_tokens_map.json": names,
		"tokenizer.json":          e.tokenizer(ids),
		"tokenizer_config.json":   settings,
	}
}

func (e encoder) config(tokens int) object {
	return object{
		"hidden_size": e.width, "intermediate_size": e.inner, "max_position_embeddings": e.positions,
		"model_type": "bert", "num_attention_heads": e.heads, "num_hidden_layers": e.layers, "pad_token_id": 0,
		"type_vocab_size": 2, "vocab_size": tokens,
	}
}

func (e encoder) tokenizer(ids object) object {
	var added []object
	for _, token := range specials {
		added = append(added, object{
			"content": token, "id": ids[token], "lstrip": false, "normalized": false, "rstrip": false,
			"single_word": false, "special": true,
		})
	}
	special := func(name string, kind int) object { return object{"SpecialToken": object{"id": name, "type_id": kind}} }
	sequence := func(name string, kind int) object { return object{"Sequence": object{"id": name, "type_id": kind}} }
	ends := object{}
	for _, name := range []string{"[CLS]", "[SEP]"} {
		ends[name] = object{"id": name, "ids": []any{ids[name]}, "tokens": []string{name}}
	}
	single := []object{special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)}
	return object{
		"version":      "1.0",
		"added_tokens": added,
		"padding":      nil,
		"truncation": object{
			"direction": "Right", "max_length": e.positions, "strategy": "LongestFirst", "stride": 0,
		},
		"normalizer": object{
			"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "lowercase": true,
			"strip_accents": nil,
		},
		"pre_tokenizer": object{"type": "BertPreTokenizer"},
		"post_processor": object{
			"type": "TemplateProcessing", "single": single, "special_tokens": ends,
			"pair": append(append([]object(nil), single...), sequence("B", 1), special("[SEP]", 1)),
		},
		"decoder": object{"type": "WordPiece", "cleanup": true, "prefix": "##"},
		"model": object{
			"type": "WordPiece", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
			"unk_token": "[UNK]", "vocab": ids,
		},
	}
}

func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	return encoder.Encode(value)
}
