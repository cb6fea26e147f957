package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// connect starts a server and opens Qdrant's own client on it, with its check of versions.
func connect(t *testing.T) *qdrant.Client {
	t.Helper()
	c, err := parseConfig(`{"listen":"127.0.0.1:0"}`)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openReport("")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(c, r)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	client, err := qdrant.NewClient(&qdrant.Config{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func create(t *testing.T, client *qdrant.Client, size uint64) {
	t.Helper()
	err := client.CreateCollection(t.Context(), &qdrant.CreateCollection{
		CollectionName: "c",
		VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: size, Distance: qdrant.Distance_Cosine}),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func upsert(t *testing.T, client *qdrant.Client, points ...*qdrant.PointStruct) {
	t.Helper()
	if _, err := client.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: "c", Points: points}); err != nil {
		t.Fatal(err)
	}
}

func pointOf(id uint64, vector ...float32) *qdrant.PointStruct {
	return &qdrant.PointStruct{Id: qdrant.NewIDNum(id), Vectors: qdrant.NewVectors(vector...)}
}

func TestTheTopTenAreThoseOfEveryPairComputed(t *testing.T) {
	const count, size, top = 2000, 768, 10 // 6 MB in one call: more than gRPC takes by default
	client := connect(t)
	create(t, client, size)
	random := rand.New(rand.NewPCG(1, 2))
	vectors := make([][]float32, count)
	points := make([]*qdrant.PointStruct, count)
	for i := range vectors {
		vectors[i] = make([]float32, size)
		for j := range vectors[i] {
			vectors[i][j] = float32(random.NormFloat64())
		}
		points[i] = pointOf(uint64(i), vectors[i]...)
	}
	upsert(t, client, points...)
	for n := range 20 {
		query := vectors[random.IntN(count)]
		if n%2 == 0 {
			query = make([]float32, size)
			for j := range query {
				query[j] = float32(random.NormFloat64())
			}
		}
		found, err := client.Query(t.Context(), &qdrant.QueryPoints{CollectionName: "c", Query: qdrant.NewQueryDense(query), Limit: qdrant.PtrOf(uint64(top))})
		if err != nil || len(found) != top {
			t.Fatalf("%d hits, %v", len(found), err)
		}
		want := allCosines(vectors, query)
		for i, hit := range found {
			if hit.Id.GetNum() != uint64(want[i].id) && math.Abs(want[i].score-float64(hit.Score)) > 1e-6 {
				t.Errorf("hit %d is %d (%v), want %d (%v)", i, hit.Id.GetNum(), hit.Score, want[i].id, want[i].score)
			}
			if i > 0 && hit.Score > found[i-1].Score {
				t.Error("not sorted")
			}
		}
	}
}

type pair struct {
	id    int
	score float64
}

func allCosines(vectors [][]float32, query []float32) []pair {
	pairs := make([]pair, len(vectors))
	for i, vector := range vectors {
		var both, one, other float64
		for j, x := range vector {
			both += float64(x) * float64(query[j])
			one += float64(x) * float64(x)
			other += float64(query[j]) * float64(query[j])
		}
		pairs[i] = pair{i, both / math.Sqrt(one*other)}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(b.score, a.score) })
	return pairs
}

func TestSelections(t *testing.T) {
	client := connect(t)
	create(t, client, 2)
	for i := range 5 {
		angle := float64(i) / 10
		each := pointOf(uint64(i), float32(3*math.Cos(angle)), float32(3*math.Sin(angle)))
		each.Payload = qdrant.NewValueMap(map[string]any{"a": i, "b": "x"})
		upsert(t, client, each)
	}
	near := qdrant.NewQuery(1, 0)
	for name, c := range map[string]struct {
		sent *qdrant.QueryPoints
		want string
	}{
		"all":       {&qdrant.QueryPoints{Query: near}, "0 1 2 3 4"},
		"offset":    {&qdrant.QueryPoints{Query: near, Limit: qdrant.PtrOf(uint64(2)), Offset: qdrant.PtrOf(uint64(1))}, "1 2"},
		"beyond":    {&qdrant.QueryPoints{Query: near, Offset: qdrant.PtrOf(uint64(9))}, ""},
		"none":      {&qdrant.QueryPoints{Query: near, Limit: qdrant.PtrOf(uint64(0))}, ""},
		"threshold": {&qdrant.QueryPoints{Query: near, ScoreThreshold: qdrant.PtrOf(float32(0.97))}, "0 1 2"},
		"of a point": {&qdrant.QueryPoints{Query: qdrant.NewQueryID(qdrant.NewIDNum(0)),
			Limit: qdrant.PtrOf(uint64(2))}, "1 2"},
	} {
		c.sent.CollectionName = "c"
		found, err := client.Query(t.Context(), c.sent)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := ids(found); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	found, err := client.Query(t.Context(), &qdrant.QueryPoints{
		CollectionName: "c", Query: near, Limit: qdrant.PtrOf(uint64(1)),
		WithPayload: qdrant.NewWithPayloadInclude("b"), WithVectors: qdrant.NewWithVectors(true),
	})
	if err != nil || len(found[0].Payload) != 1 || found[0].Payload["b"].GetStringValue() != "x" {
		t.Errorf("%v %v", found, err)
	}
	if vector := found[0].GetVectors().GetVector().GetDense().GetData(); len(vector) != 2 || vector[0] != 1 {
		t.Errorf("the stored vector is %v", vector)
	}
}

func ids(found []*qdrant.ScoredPoint) string {
	var texts []string
	for _, each := range found {
		texts = append(texts, strconv.FormatUint(each.Id.GetNum(), 10))
	}
	return strings.Join(texts, " ")
}

func TestAPointOfTheSameIdIsReplaced(t *testing.T) {
	client := connect(t)
	create(t, client, 2)
	upsert(t, client, pointOf(7, 1, 0), pointOf(8, 0, 1))
	upsert(t, client, pointOf(7, -1, 0), &qdrant.PointStruct{Id: qdrant.NewIDUUID("5c56c793-69f3-4fbf-87e6-c4bf54c28c26"), Vectors: qdrant.NewVectors(1, 1)})
	if count, err := client.Count(t.Context(), &qdrant.CountPoints{CollectionName: "c"}); err != nil || count != 3 {
		t.Errorf("%d points, %v", count, err)
	}
	found, err := client.Query(t.Context(), &qdrant.QueryPoints{CollectionName: "c", Query: qdrant.NewQuery(-1, 0), Limit: qdrant.PtrOf(uint64(1))})
	if err != nil || ids(found) != "7" {
		t.Errorf("%v %v", found, err)
	}
	got, err := client.Get(t.Context(), &qdrant.GetPoints{CollectionName: "c", Ids: []*qdrant.PointId{qdrant.NewIDNum(9), qdrant.NewIDNum(8)}})
	if err != nil || len(got) != 1 || got[0].Id.GetNum() != 8 {
		t.Errorf("%v %v", got, err)
	}
}

func TestCollections(t *testing.T) {
	client := connect(t)
	create(t, client, 4)
	info, err := client.GetCollectionInfo(t.Context(), "c")
	if err != nil || info.GetPointsCount() != 0 || info.GetConfig().GetParams().GetVectorsConfig().GetParams().GetSize() != 4 {
		t.Errorf("%v %v", info, err)
	}
	names, err := client.ListCollections(t.Context())
	if err != nil || len(names) != 1 {
		t.Errorf("%v %v", names, err)
	}
	if err := client.DeleteCollection(t.Context(), "c"); err != nil {
		t.Error(err)
	}
	if exists, err := client.CollectionExists(t.Context(), "c"); err != nil || exists {
		t.Errorf("%v %v", exists, err)
	}
}

func TestWhatItDoesNotHaveIsRefusedAndNotGuessed(t *testing.T) {
	client := connect(t)
	create(t, client, 2)
	filter := &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("a", "b")}}
	query := func(sent *qdrant.QueryPoints) func(context.Context) error {
		return func(ctx context.Context) error {
			if sent.CollectionName == "" {
				sent.CollectionName = "c"
			}
			_, err := client.Query(ctx, sent)
			return err
		}
	}
	for name, c := range map[string]struct {
		call func(context.Context) error
		want codes.Code
	}{
		"filter":         {query(&qdrant.QueryPoints{Query: qdrant.NewQuery(1, 0), Filter: filter}), codes.Unimplemented},
		"no query":       {query(&qdrant.QueryPoints{}), codes.Unimplemented},
		"named":          {query(&qdrant.QueryPoints{Query: qdrant.NewQuery(1, 0), Using: qdrant.PtrOf("v")}), codes.Unimplemented},
		"size":           {query(&qdrant.QueryPoints{Query: qdrant.NewQuery(1, 0, 0)}), codes.InvalidArgument},
		"no number":      {query(&qdrant.QueryPoints{Query: qdrant.NewQuery(float32(math.NaN()), 0)}), codes.InvalidArgument},
		"no collection":  {query(&qdrant.QueryPoints{CollectionName: "d", Query: qdrant.NewQuery(1, 0)}), codes.NotFound},
		"no such point":  {query(&qdrant.QueryPoints{Query: qdrant.NewQueryID(qdrant.NewIDNum(1))}), codes.NotFound},
		"exists already": {func(ctx context.Context) error { return createWith(ctx, client, "c", qdrant.Distance_Cosine) }, codes.AlreadyExists},
		"other distance": {func(ctx context.Context) error { return createWith(ctx, client, "d", qdrant.Distance_Dot) }, codes.Unimplemented},
		"delete": {func(ctx context.Context) error {
			_, err := client.Delete(ctx, &qdrant.DeletePoints{CollectionName: "c", Points: qdrant.NewPointsSelector(qdrant.NewIDNum(1))})
			return err
		}, codes.Unimplemented},
	} {
		if err := c.call(t.Context()); codeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// codeOf looks through the client's wrapping.
func codeOf(err error) codes.Code {
	if found, ok := status.FromError(err); ok {
		return found.Code()
	}
	return codes.Unknown
}

func createWith(ctx context.Context, client *qdrant.Client, name string, distance qdrant.Distance) error {
	return client.CreateCollection(ctx, &qdrant.CreateCollection{
		CollectionName: name, VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: distance}),
	})
}

func TestABadPointStoresNothing(t *testing.T) {
	client := connect(t)
	create(t, client, 2)
	_, err := client.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: "c", Points: []*qdrant.PointStruct{pointOf(1, 1, 0), pointOf(2, 1)}})
	if codeOf(err) != codes.InvalidArgument {
		t.Errorf("%v", err)
	}
	if count, err := client.Count(t.Context(), &qdrant.CountPoints{CollectionName: "c"}); err != nil || count != 0 {
		t.Errorf("%d points, %v", count, err)
	}
}

func TestConfigIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		`{"pace":1}`:                   "unknown field",
		`{} {}`:                        "after the object",
		`{"schema":"repro.backend/2"}`: "schema",
		`{"listen":"6334"}`:            "listen",
		`{"pacing":"paced"}`:           "unpaced",
		`{"fault":"http503:1"}`:        "has none",
		`{"max_message_mib":0}`:        "max_message_mib",
	} {
		if _, err := parseConfig(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := parseConfig(`{"schema":"repro.backend/1","listen":"127.0.0.1:6334","seed":1,"pacing":"unpaced","fault":""}`); err != nil {
		t.Error(err)
	}
}

func TestCallsAreRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openReport(strconv.Itoa(fd))
	if err != nil {
		t.Fatal(err)
	}
	r.calls.Store(3)
	r.flush()
	var ns, value int64
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := fmt.Sscanf(string(text), `{"k":"counts","name":"backend.requests","ns":%d,"value":%d}`, &ns, &value); n != 2 || ns <= 0 || value != 3 {
		t.Errorf("%q: %v", text, err)
	}
}

func BenchmarkSearch1000x768(b *testing.B) {
	held := &collection{size: 768, places: map[key]int{}}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		vector := make([]float32, 768)
		for j := range vector {
			vector[j] = float32(random.NormFloat64())
		}
		at, err := held.unit(vector)
		if err != nil {
			b.Fatal(err)
		}
		held.put(key{number: uint64(i)}, at, nil)
	}
	query := held.row(1)
	for b.Loop() {
		held.nearest(query, 10, nil, noPlace)
	}
}
