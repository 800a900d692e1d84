package lab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"

	"ferric/lab/bmc"
)

// FleetBMC is a BMC of a fleet at a moment.
type FleetBMC struct {
	Name    string         `json:"name"`
	Address netip.AddrPort `json:"address"`
	On      bool           `json:"on"`
	Dead    bool           `json:"dead"`
}

// FleetNode is the name of the node for a BMC of a fleet, by its number from 0 on.
func FleetNode(index int) string { return fmt.Sprintf("bmc-%05d", index) }

// FleetControl looks at a fleet and changes it behind the back of whoever manages it:
//
//	GET  /status                  counters (bmc.FleetStats)
//	GET  /bmcs                    every BMC (a list of FleetBMC)
//	POST /power?state=on|off      switch a machine: &bmc=NUMBER, or all of them
//	POST /dead?share=0.05         so many BMCs stop to answer, the others answer again
//	POST /restart                 BMCs forget their sessions: &bmc=NUMBER, or all of them
func FleetControl(f *bmc.Fleet) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, f.Stats()) })
	mux.HandleFunc("GET /bmcs", func(w http.ResponseWriter, _ *http.Request) {
		list := make([]FleetBMC, f.Len())
		for i := range list {
			list[i] = FleetBMC{Name: FleetNode(i), Address: f.Addr(i), On: f.Power(i), Dead: f.Dead(i)}
		}
		answerJSON(w, list)
	})
	mux.HandleFunc("POST /power", func(w http.ResponseWriter, r *http.Request) {
		state := r.FormValue("state")
		if state != "on" && state != "off" {
			http.Error(w, "state must be on or off", http.StatusBadRequest)
			return
		}
		eachBMC(w, r, f, func(i int) { f.SetPower(i, state == "on") })
	})
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) { eachBMC(w, r, f, f.Restart) })
	mux.HandleFunc("POST /dead", func(w http.ResponseWriter, r *http.Request) {
		share, err := strconv.ParseFloat(r.FormValue("share"), 64)
		if err != nil || !(share >= 0 && share <= 1) {
			http.Error(w, "share must be a number from 0 to 1", http.StatusBadRequest)
			return
		}
		f.Kill(share)
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func eachBMC(w http.ResponseWriter, r *http.Request, f *bmc.Fleet, do func(index int)) {
	first, last := 0, f.Len()-1
	if text := r.FormValue("bmc"); text != "" {
		i, err := strconv.Atoi(text)
		if err != nil || i < 0 || i >= f.Len() {
			http.Error(w, fmt.Sprintf("bmc must be a number from 0 to %d", f.Len()-1), http.StatusBadRequest)
			return
		}
		first, last = i, i
	}
	for i := first; i <= last; i++ {
		do(i)
	}
	w.WriteHeader(http.StatusNoContent)
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client is gone
}
