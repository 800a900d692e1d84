package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"ferric"
)

// Lab is a lab that was set up.
type Lab struct {
	dir    string
	config Config
	proc   procfs
}

const (
	configFile = "lab.json"
	lockFile   = "lock"
)

// maxSocketPath is the longest path of a Unix socket (sun_path, unix(7)).
const maxSocketPath = 107

// Up sets a lab up, or completes one that is there with the same settings: a namespace or BMC that is gone, as after a
// restart of the host, is made again, disks are kept. The machines are off. Without an error everything runs; after one
// the lab is left as far as it came, for Down. Errors: CodeInvalid (a field of spec), CodeUnavailable (missing packages
// are named), CodeForbidden (not root), CodeConflict (there is a lab of other settings, or a foreign namespace).
func Up(ctx context.Context, spec Spec) (*Lab, error) {
	config, err := spec.config()
	if err != nil {
		return nil, err
	}
	if err := config.checkHost(); err != nil {
		return nil, err
	}
	if config.Accel, err = chooseAccel(ctx, spec.Accel); err != nil {
		return nil, err
	}
	if len(config.Self) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the path of this program: %w", err)
		}
		config.Self = []string{self, "lab"}
	}
	dir, err := filepath.Abs(or(spec.Dir, DefaultDir(config.Name)))
	if err != nil {
		return nil, err
	}
	l := newLab(dir, config)
	if longest := l.Machines()[len(config.Machines)-1].files.console(); len(longest) > maxSocketPath {
		return nil, ferric.Errorf(ferric.CodeInvalid, "lab: dir: %s is too long by %d bytes for sockets in it", dir, len(longest)-maxSocketPath)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "lab: dir: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := l.claim(); err != nil {
		return nil, err
	}
	for _, m := range l.Machines() {
		if err := m.create(); err != nil {
			return nil, fmt.Errorf("make %s: %w", m.Name, err)
		}
	}
	if !namespaceExists(config.Name) {
		// Whatever runs still is in a namespace without a name, where nobody reaches it.
		if err := l.endProcesses(ctx); err != nil {
			return nil, err
		}
		if err := l.createNetwork(ctx); err != nil {
			return nil, err
		}
	}
	if err := l.consoles().start(ctx); err != nil {
		return nil, err
	}
	for _, m := range l.Machines() {
		if err := m.startBMC(ctx); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// claim writes lab.json, or checks that the one there says the same.
func (l *Lab) claim() error {
	name := filepath.Join(l.dir, configFile)
	var old Config
	err := readJSON(name, &old)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if namespaceExists(l.config.Name) {
			return ferric.Errorf(ferric.CodeConflict, "the network namespace %s exists, but not by a lab in %s: choose another name, or remove it with ip netns delete %s",
				l.config.Name, l.dir, l.config.Name)
		}
		return writeJSON(name, l.config)
	case err != nil:
		return fmt.Errorf("lab settings: %w", err)
	}
	// Another build of the program may go on with the lab, and the accelerator is chosen anew.
	accel, self := l.config.Accel, l.config.Self
	l.config.Accel, l.config.Self = old.Accel, old.Self
	if !reflect.DeepEqual(old, l.config) {
		return ferric.Errorf(ferric.CodeConflict, "a lab with other settings is in %s: take it down first (ferric lab down --name %s)", l.dir, old.Name)
	}
	l.config.Accel, l.config.Self = accel, self
	return writeJSON(name, l.config)
}

func newLab(dir string, config Config) *Lab {
	return &Lab{dir: dir, config: config, proc: procfs{"/proc"}}
}

// Open returns a lab that was set up. dir "" is the default directory of name. CodeNotFound if there is none.
func Open(name, dir string) (*Lab, error) {
	name = or(name, DefaultName)
	if !labName.MatchString(name) {
		return nil, ferric.Errorf(ferric.CodeInvalid, "lab: name: %q is not a name of a lab", name)
	}
	dir, err := filepath.Abs(or(dir, DefaultDir(name)))
	if err != nil {
		return nil, err
	}
	var config Config
	err = readJSON(filepath.Join(dir, configFile), &config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ferric.Errorf(ferric.CodeNotFound, "no lab in %s: ferric lab up makes one", dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, checkRoot("read the lab in " + dir)
	case err != nil:
		return nil, fmt.Errorf("lab settings: %w", err)
	case config.Version != configVersion || len(config.Machines) == 0:
		return nil, ferric.Errorf(ferric.CodeCorrupt, "%s is not of a lab of this version", filepath.Join(dir, configFile))
	}
	return newLab(dir, config), nil
}

// Name is the lab's name and that of its network namespace.
func (l *Lab) Name() string { return l.config.Name }

// Dir is the lab's state directory.
func (l *Lab) Dir() string { return l.dir }

// Machines are the lab's machines in their order.
func (l *Lab) Machines() []*Machine {
	all := make([]*Machine, len(l.config.Machines))
	for i, c := range l.config.Machines {
		all[i] = &Machine{MachineConfig: c, lab: l, proc: l.proc, files: files{filepath.Join(l.dir, c.Name)}}
	}
	return all
}

// Machine returns the machine with that name. CodeNotFound names those that exist.
func (l *Lab) Machine(name string) (*Machine, error) {
	for _, m := range l.Machines() {
		if m.Name == name {
			return m, nil
		}
	}
	last := l.config.Machines[len(l.config.Machines)-1].Name
	return nil, ferric.Errorf(ferric.CodeNotFound, "lab %s has no machine %q; it has node-1 to %s", l.config.Name, name, last)
}

// Down ends the BMCs and machines, and removes the namespace and the state directory with the disks. It ends nothing
// that the lab did not start: processes of others in the namespace are returned, and go on without a name for their
// namespace. Down may be repeated after an error.
func (l *Lab) Down(ctx context.Context) ([]Stranger, error) {
	if err := checkRoot("take the lab down"); err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, filepath.Join(l.dir, lockFile))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := l.endProcesses(ctx); err != nil {
		return nil, err
	}
	strangers := l.strangers(ctx)
	if err := l.deleteNetwork(ctx); err != nil {
		return strangers, fmt.Errorf("remove the network namespace: %w", err)
	}
	// lab.json last, so that a removal that fails can be repeated.
	for _, m := range l.Machines() {
		if err := os.RemoveAll(m.files.dir); err != nil {
			return strangers, err
		}
	}
	if err := os.RemoveAll(l.consoles().dir); err != nil {
		return strangers, err
	}
	for _, name := range []string{configFile, lockFile} {
		if err := os.Remove(filepath.Join(l.dir, name)); err != nil {
			return strangers, err
		}
	}
	// What the lab did not put there stays, and with it the directory.
	os.Remove(l.dir)
	return strangers, nil
}

// endProcesses ends the BMCs, the machines and the console server.
func (l *Lab) endProcesses(ctx context.Context) error {
	var failed []error
	for _, m := range l.Machines() {
		// The BMC first: nobody shall start the machine again.
		failed = append(failed, m.controller().stop(ctx), m.Stop(ctx))
	}
	return errors.Join(append(failed, l.consoles().stop(ctx))...)
}
