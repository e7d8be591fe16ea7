package replica

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Position
	}{
		{"0/0", Position{}},
		{"16/B374D848", Position{0, 0x16_B374D848}},
		{"16/B374D848@2", Position{2, 0x16_B374D848}},
		{"FFFFFFFF/FFFFFFFF", Position{0, Never}},
		{"16/B374D848@4294967295", Position{1<<32 - 1, 0x16_B374D848}},
	} {
		p, err := Parse(tt.text)
		if err != nil || p != tt.want || p.String() != tt.text {
			t.Errorf("%s: %v (%+v), %v", tt.text, p, p, err)
		}
	}
	for _, text := range []string{"", "/", "1", "1/", "/1", "1/2@", "1/2@x", "1/2@-1", "1/2@4294967296", "100000000/0", "0/100000000", "-1/0", "+1/0", "1/2/3", "1_0/0", "1/2 ", "0x1/2"} {
		if p, err := Parse(text); err == nil {
			t.Errorf("%q is %v", text, p)
		}
	}
}

// FuzzParse: what is read is written as it was, but for case and leading zeros.
func FuzzParse(f *testing.F) {
	f.Add("16/B374D848@2")
	f.Add("0/0")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(p.String())
		if err != nil || again != p || len(p.String()) > len(text) && !strings.HasSuffix(text, "@0") {
			t.Errorf("%q is %v, and that %v, %v", text, p, again, err)
		}
	})
}

func TestInserted(t *testing.T) {
	for _, tt := range []struct {
		name       string
		from, want uint64
	}{
		{"in a page", 0x151_4100, 0x151_4100},
		{"behind the header of a page", 0x151_4018, 0x151_4000},
		{"behind the header of a file", 0x200_0028, 0x200_0000},
		{"the end of a record that began on the page before", 0x151_4028, 0x151_4028},
		{"the end of a page", 0x151_4000, 0x151_4000},
		{"the beginning", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Inserted(Position{3, tt.from}); got != (Position{3, tt.want}) {
				t.Errorf("got %v", got)
			}
		})
	}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func first(int) int { return 0 }

const system = "7713552668327541962"

func primary(timeline uint32, offset uint64) Look {
	return Look{At: Position{timeline, offset}, Flushed: offset, System: system}
}

func standby(timeline uint32, offset uint64) Look {
	return Look{Standby: true, At: Position{timeline, offset}, System: system}
}

// event is what was seen of a server at a second.
type event struct {
	second float64
	server int
	look   Look
	lost   error
}

func TestPick(t *testing.T) {
	gone := errors.New("connection refused")
	for _, tt := range []struct {
		name   string
		events []event
		now    float64
		want   Position
		fit    []int
		unfit  string // a part of why server 1 is not read from
	}{
		{"nothing is known", nil, 0, Position{}, nil, "nothing is known"},
		{"the primary alone", []event{{0, 0, primary(1, 100), nil}}, 0, Position{}, nil, "nothing is known"},
		{"two standbys", []event{{0, 0, primary(1, 90), nil}, {0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}, {0, 2, standby(1, 90), nil}}, 1, Position{}, []int{1, 2}, ""},
		{"one has reached it", []event{{0, 0, primary(1, 90), nil}, {0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}, {0, 2, standby(1, 90), nil}}, 1, Position{1, 95}, []int{1}, ""},
		{"no timeline in what is wanted", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}}, 1, Position{0, 95}, []int{1}, ""},
		{"nobody ever", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}}, 1, Position{0, Never}, nil, ""},
		{"no primary", []event{{0, 0, Look{}, gone}, {0, 1, standby(1, 100), nil}}, 100, Position{}, []int{1}, ""},
		{"behind for too long", []event{{0, 0, primary(1, 100), nil}, {6, 0, primary(1, 200), nil}, {0, 1, standby(1, 100), nil}, {16.5, 2, standby(1, 200), nil}}, 17, Position{}, []int{2}, "behind by 11s"},
		{"not yet for too long", []event{{0, 0, primary(1, 100), nil}, {6, 0, primary(1, 200), nil}, {0, 1, standby(1, 100), nil}}, 16, Position{}, []int{1}, ""},
		{"it has caught up", []event{{0, 0, primary(1, 100), nil}, {6, 0, primary(1, 200), nil}, {0, 1, standby(1, 100), nil}, {90, 1, standby(1, 200), nil}}, 90, Position{}, []int{1}, ""},
		{"an idle primary", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}, {99, 0, primary(1, 100), nil}}, 99, Position{}, []int{1}, ""},
		{"written and not flushed for long", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}, {1, 0, Look{At: Position{1, 120}, Flushed: 100, System: system}, nil}}, 90, Position{}, []int{1}, ""},
		{"it has died", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}, {1, 1, Look{}, gone}}, 1, Position{}, nil, "connection refused"},
		{"it is back", []event{{0, 0, primary(1, 100), nil}, {1, 1, Look{}, gone}, {2, 1, standby(1, 100), nil}}, 2, Position{}, []int{1}, ""},
		{"promoted", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}, {0, 2, standby(1, 100), nil}, {1, 0, Look{}, gone}, {1, 1, primary(2, 110), nil}}, 1, Position{}, []int{2}, "it is the primary"},
		{"it went another way", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}, {1, 2, primary(2, 90), nil}}, 2, Position{2, 95}, nil, ""},
		{"for too long", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}, {1, 2, primary(2, 90), nil}}, 12, Position{}, nil, "followed the primary to timeline 2"},
		{"an old primary", []event{{0, 1, primary(1, 100), nil}, {1, 2, primary(2, 90), nil}}, 2, Position{}, nil, "it was a primary"},
		{"an old primary, and the new one is away", []event{{0, 1, primary(1, 100), nil}, {1, 2, primary(2, 90), nil}, {2, 2, Look{}, gone}, {61, 1, primary(1, 120), nil}}, 61, Position{}, nil, "it was a primary"},
		{"and has left a standby", []event{{0, 1, primary(1, 100), nil}, {1, 2, primary(2, 90), nil}, {2, 2, Look{}, gone}, {61, 0, standby(2, 90), nil}, {62, 1, primary(1, 120), nil}}, 62, Position{}, []int{0}, "it was a primary"},
		{"and is given up", []event{{0, 1, primary(1, 100), nil}, {1, 2, primary(2, 90), nil}, {2, 2, Look{}, gone}, {62, 1, primary(1, 120), nil}, {62, 0, standby(1, 120), nil}}, 62, Position{}, []int{0}, "it is the primary"},
		{"of another cluster", []event{{0, 0, primary(1, 100), nil}, {0, 1, Look{Standby: true, At: Position{1, 500}, System: "1"}, nil}}, 1, Position{}, nil, "another cluster"},
		{"a new cluster in its place", []event{{0, 0, primary(7, 100), nil}, {0, 1, Look{Standby: true, At: Position{1, 500}, System: "1"}, nil}, {1, 0, Look{At: Position{1, 500}, Flushed: 500, System: "1"}, nil}}, 1, Position{}, []int{1}, ""},
		{"old from the beginning", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 20), nil}, {0, 2, standby(1, 100), nil}}, 1, Position{}, []int{2}, "when that was first seen"},
		{"old before the primary was there", []event{{0, 1, standby(1, 20), nil}, {0, 0, primary(1, 100), nil}}, 1, Position{}, nil, "when that was first seen"},
		{"old, and it has caught up", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 20), nil}, {1, 1, standby(1, 100), nil}}, 1, Position{}, []int{1}, ""},
		{"old, and a failover begins further back", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 60), nil}, {1, 2, primary(2, 50), nil}}, 1, Position{}, []int{1}, ""},
		{"on an old timeline from the beginning", []event{{0, 0, primary(2, 100), nil}, {0, 1, standby(1, 500), nil}}, 1, Position{}, nil, "followed the primary to timeline 2"},
		{"flushed in the middle of a record", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 110), nil}, {1, 0, Look{At: Position{1, 130}, Flushed: 120, System: system}, nil}}, 90, Position{}, []int{1}, ""},
		{"and to its end", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 110), nil}, {1, 0, Look{At: Position{1, 130}, Flushed: 120, System: system}, nil},
			{2, 0, Look{At: Position{1, 140}, Flushed: 135, System: system}, nil}}, 13, Position{}, nil, "behind by 11s"},
		{"a primary of another cluster beside it", []event{{0, 0, primary(1, 100), nil}, {0, 1, standby(1, 100), nil}, {1, 2, Look{At: Position{7, 500}, Flushed: 500, System: "1"}, nil}}, 1, Position{}, []int{1}, ""},
		{"one that stands behind it in the string", []event{{0, 1, Look{At: Position{7, 500}, Flushed: 500, System: "1"}, nil}, {0, 2, standby(1, 100), nil}, {1, 0, primary(1, 100), nil}}, 1, Position{}, []int{2}, "another cluster"},
		{"it is there alone for a moment", []event{{0, 0, primary(1, 100), nil}, {0, 2, standby(1, 100), nil}, {1, 0, Look{}, gone}, {1, 1, Look{At: Position{7, 500}, Flushed: 500, System: "1"}, nil}}, 1, Position{}, []int{2}, "another cluster"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New([]int{1, 1, 1}, 10*time.Second)
			for _, e := range tt.events {
				if e.lost != nil {
					s.Lost(e.server, e.lost)
				} else {
					s.Saw(e.server, at(e.second), e.look)
				}
			}
			var fit []int
			for n := range 3 { // all weigh the same
				i, ok := s.Pick(at(tt.now), tt.want, func(total int) int { return min(n, total-1) })
				if ok && !slices.Contains(fit, i) {
					fit = append(fit, i)
				}
			}
			if !slices.Equal(fit, tt.fit) {
				t.Errorf("picked %v, want %v", fit, tt.fit)
			}
			unfit := s.State(1, at(tt.now)).Unfit
			if unfit == nil && tt.unfit != "" || unfit != nil && (tt.unfit == "" || !strings.Contains(unfit.Error(), tt.unfit)) {
				t.Errorf("server 1 is unfit because %v, want %q", unfit, tt.unfit)
			}
		})
	}
}

func TestRank(t *testing.T) {
	s := New([]int{1, 1}, 0)
	for _, step := range []struct {
		name string
		saw  func()
		want [2]int
	}{
		{"nothing is known", func() {}, [2]int{RankUnknown, RankUnknown}},
		{"a standby", func() { s.Saw(0, start, standby(1, 100)) }, [2]int{RankThere, RankUnknown}},
		{"a primary", func() { s.Saw(1, start, primary(1, 100)) }, [2]int{RankThere, RankPrimary}},
		{"it is gone", func() { s.Lost(1, errors.New("gone")) }, [2]int{RankThere, RankLost}},
		{"another one is promoted", func() { s.Saw(0, start, primary(2, 100)) }, [2]int{RankPrimary, RankLost}},
		{"the old one is back as it was", func() { s.Saw(1, start, primary(1, 120)) }, [2]int{RankPrimary, RankThere}},
		{"and as a standby", func() { s.Saw(1, start, standby(2, 100)) }, [2]int{RankPrimary, RankThere}},
		{"a switchover", func() { s.Saw(0, start, standby(2, 100)); s.Saw(1, start, primary(3, 100)) }, [2]int{RankThere, RankPrimary}},
	} {
		step.saw()
		if got := [2]int{s.Rank(0), s.Rank(1)}; got != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}

func TestPickByWeight(t *testing.T) {
	s := New([]int{0, 1, 3, 0}, 0)
	s.Saw(0, start, primary(1, 100))
	for i := 1; i < 4; i++ {
		s.Saw(i, start, standby(1, 100))
	}
	picked := make([]int, 4)
	for n := range 4 {
		i, _ := s.Pick(start, Position{}, func(total int) int {
			if total != 4 {
				t.Errorf("the weights are %d in all", total)
			}
			return n
		})
		picked[i]++
	}
	if !slices.Equal(picked, []int{0, 1, 3, 0}) {
		t.Errorf("picked %v", picked)
	}
}

// TestPromise: a server that was restarted is not used before it is where it was.
func TestPromise(t *testing.T) {
	s := New([]int{1, 1}, 0)
	s.Saw(0, start, primary(1, 200))
	s.Saw(1, start, standby(1, 200))
	if _, ok := s.Pick(start, Position{1, 150}, first); !ok || s.Promised(1) != (Position{1, 150}) {
		t.Fatalf("picked %v, promised %v", ok, s.Promised(1))
	}
	s.Saw(1, start, standby(1, 100))
	if _, ok := s.Pick(start, Position{}, first); ok || !strings.Contains(s.State(1, start).Unfit.Error(), "restarted") {
		t.Errorf("picked though it is at 100: %v", s.State(1, start).Unfit)
	}
	s.Saw(1, start, standby(1, 150))
	if _, ok := s.Pick(start, Position{}, first); !ok {
		t.Error("not picked though it is back at 150")
	}
	s.Saw(1, start, standby(2, 120)) // where it was is on no timeline any more
	if _, ok := s.Pick(start, Position{}, first); !ok {
		t.Error("not picked on a new timeline")
	}
	s.Saw(1, start, standby(2, 300))
	s.Pick(start, Position{2, 300}, first)
	s.Saw(1, start, standby(1, 210)) // restarted: the server says only later on which timeline it is
	s.Saw(1, start, standby(2, 210))
	if _, ok := s.Pick(start, Position{}, first); ok {
		t.Error("picked though it is at 210")
	}
}

// TestSamples: a long lag is known however many looks there were, and they take no more memory.
func TestSamples(t *testing.T) {
	s := New([]int{1, 1}, 0)
	s.Saw(1, start, standby(1, 50))
	for i := range 100_000 {
		s.Saw(0, at(float64(i)), primary(1, uint64(100+i)))
	}
	if n := len(s.samples); n > maxSamples {
		t.Errorf("%d samples", n)
	}
	if lag := s.State(1, at(100_000)).Lag; lag != 100_000*time.Second {
		t.Errorf("the lag is %v", lag)
	}
	s.Saw(1, start, standby(1, 100+99_000)) // which is one second for each
	if lag := s.State(1, at(100_000)).Lag; lag < 990*time.Second || lag > 1100*time.Second {
		t.Errorf("then the lag is %v", lag)
	}
}

func TestMayReach(t *testing.T) {
	s := New([]int{1, 1}, 10*time.Second)
	may := func(now float64, want Position) bool { return s.MayReach(at(now), want, time.Second) }
	if may(0, Position{1, 100}) {
		t.Error("without a standby")
	}
	s.Saw(0, start, primary(1, 100))
	s.Saw(1, start, standby(1, 90)) // which is not picked, before it is where the primary was
	for _, tt := range []struct {
		now  float64
		want Position
		may  bool
	}{{0.5, Position{1, 110}, true}, {0.5, Position{2, 110}, false}, {0.5, Position{0, Never}, false}, {2, Position{1, 110}, false}} {
		if got := may(tt.now, tt.want); got != tt.may {
			t.Errorf("%v after %v s: %v", tt.want, tt.now, got)
		}
	}
	s.Saw(0, at(1), primary(2, 95))
	s.Saw(1, at(1), standby(2, 95))
	for _, tt := range []struct {
		want Position
		may  bool
	}{{Position{2, 110}, true}, {Position{0, 110}, true}, {Position{1, 95}, true}, {Position{1, 110}, false}} {
		if got := may(1, tt.want); got != tt.may {
			t.Errorf("%v after a failover: %v", tt.want, got)
		}
	}
}

// TestNoStaleRead lets servers write, stream, die, be promoted and be restarted by chance, and
// looks at them by chance: who is picked for a commit has it, unless it is lost. (Not by chance are two
// promotions away from one primary, the second of which brings back what the first has lost.)
func TestNoStaleRead(t *testing.T) {
	type record struct {
		timeline uint32
		commit   int
	}
	type machine struct {
		log      []record // the offset is the length
		timeline uint32
		standby  bool
		follows  int
		alive    bool
	}
	picked, stale := 0, 0
	for seed := range 300 {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		machines := make([]*machine, 4)
		for i := range machines {
			machines[i] = &machine{timeline: 1, standby: i > 0, alive: true}
		}
		boss, timelines, commits := 0, uint32(1), 0
		places := map[int]Position{} // of the commits
		s := New([]int{1, 1, 1, 1}, 0)
		for step := range 600 {
			i := r.IntN(len(machines))
			m := machines[i]
			switch r.IntN(12) {
			case 0, 1, 2: // a commit, for the program
				if b := machines[boss]; b.alive {
					commits++
					b.log = append(b.log, record{b.timeline, commits})
					places[commits] = Position{b.timeline, uint64(len(b.log))}
				}
			case 3: // one on a primary that was left behind
				if !m.standby && m.alive {
					commits++
					m.log = append(m.log, record{m.timeline, commits})
					if i == boss {
						places[commits] = Position{m.timeline, uint64(len(m.log))}
					}
				}
			case 4, 5, 6: // streaming
				of := machines[m.follows]
				if n := len(m.log); m.standby && m.alive && n <= len(of.log) && slices.Equal(m.log, of.log[:n]) {
					m.log = slices.Clone(of.log[:n+r.IntN(len(of.log)-n+1)])
					if len(m.log) > 0 {
						m.timeline = max(m.timeline, m.log[len(m.log)-1].timeline)
					}
				}
			case 7, 8: // a look
				if m.alive {
					s.Saw(i, at(float64(step)), Look{m.standby, Position{m.timeline, uint64(len(m.log))}, uint64(len(m.log)), system})
				} else {
					s.Lost(i, errors.New("down"))
				}
			case 9: // a failover to one that has gone no other way than the primary; some follow it, others stay with the old one
				if b := machines[boss]; r.IntN(8) == 0 && m.standby && m.alive && len(m.log) <= len(b.log) && slices.Equal(m.log, b.log[:len(m.log)]) {
					old := boss
					timelines++
					boss, m.standby, m.timeline = i, false, timelines
					machines[old].alive = r.IntN(2) == 0
					for j, other := range machines {
						if j != i && other.standby && r.IntN(2) == 0 {
							other.follows = i
						}
					}
				}
			case 10: // it is restarted, not as far as it was
				if m.standby && r.IntN(4) == 0 {
					m.log, m.alive = m.log[:r.IntN(len(m.log)+1)], true
				}
			case 11: // a read
				if commits == 0 {
					continue
				}
				commit := 1 + r.IntN(commits)
				want, ok := places[commit]
				if !ok {
					continue
				}
				j, ok := s.Pick(at(float64(step)), want, r.IntN)
				if !ok {
					continue
				}
				from := machines[j]
				if from.alive && uint64(len(from.log)) >= s.Promised(j).Offset { // or there is no connection to it
					picked++
					has := func(m *machine) bool {
						return slices.ContainsFunc(m.log, func(r record) bool { return r.commit == commit })
					}
					if !has(from) && has(machines[boss]) {
						stale++
						t.Errorf("seed %d, step %d: commit %d at %v is not on server %d: %v", seed, step, commit, want, j, fmt.Sprint(from.log))
					}
				}
			}
		}
	}
	t.Logf("%d reads on standbys, %d stale", picked, stale)
	if picked < 1000 {
		t.Errorf("only %d reads on standbys", picked)
	}
}
