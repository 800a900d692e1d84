package deploy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ferric"
	"ferric/agent/command"
	"ferric/agent/disk"
	"ferric/agentapi"
	"ferric/image"
)

// Writer writes images.
type Writer struct {
	// Open opens a disk for writing, and Rescan makes the kernel read its table afterwards.
	Open   func(name string) (disk.Device, error)
	Rescan func(ctx context.Context, name string) error

	mu      sync.Mutex
	written string // id of the image on the disk
	on      string // disk
	uuids   map[string]string
}

// Job is one image to write.
type Job struct {
	Info        agentapi.ImageInfo
	ConfigDrive string // base64 of gzip, or a URL of such text; "" for none
	Disk        agentapi.BlockDevice
	Settings    Settings
	Log         *slog.Logger
	Progress    func(agentapi.Progress)
	// Only writes the image (standby.cache_image) without config drive.
	Only bool
}

// UUIDs are what standby.get_partition_uuids returns: nil before an image was written.
func (w *Writer) UUIDs() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.uuids
}

// Write does a job and returns the text for its result. An image whose id is on the disk already is not written again.
func (w *Writer) Write(ctx context.Context, j Job) (string, error) {
	if err := Check(j.Info); err != nil {
		return "", err
	}
	opts, err := j.Settings.options(j.Info)
	if err != nil {
		return "", err
	}
	opts.Logger = j.Log
	if j.ConfigDrive == "" {
		j.ConfigDrive = j.Info.ConfigDrive
	}
	var drive *disk.ConfigDrive
	if j.ConfigDrive != "" && !j.Only {
		if drive, err = loadConfigDrive(ctx, j.ConfigDrive, opts); err != nil {
			return "", err
		}
	}
	w.mu.Lock()
	have := w.written == j.Info.ID && w.on == j.Disk.Name
	w.written = "" // until it is there again, whatever happens
	w.mu.Unlock()
	id, err := w.onDisk(ctx, j, opts, drive, have)
	if err != nil {
		return "", err
	}
	if err := w.Rescan(ctx, j.Disk.Name); err != nil {
		// The table on the disk is right, which is what the machine boots from; only this kernel does not see it.
		j.Log.Warn("the kernel keeps its old view of the disk", "err", err)
	}
	w.mu.Lock()
	w.written, w.on = j.Info.ID, j.Disk.Name
	w.uuids = map[string]string{"root uuid": id}
	w.mu.Unlock()
	return fmt.Sprintf("image (%s) written to device %s root_uuid=%s", j.Info.ID, j.Disk.Name, id), nil
}

// onDisk does what needs the disk open, and returns its identifier.
func (w *Writer) onDisk(ctx context.Context, j Job, opts image.Options, drive *disk.ConfigDrive, have bool) (id string, err error) {
	d, err := w.Open(j.Disk.Name)
	if err != nil {
		return "", command.Failf(agentapi.TypeImageWrite, "%w", err)
	}
	defer func() {
		if cerr := d.Close(); cerr != nil && err == nil {
			err = command.Failf(agentapi.TypeImageWrite, "close %s: %w", j.Disk.Name, cerr)
		}
	}()
	if have {
		j.Log.Info("the image is on the disk already", "image", j.Info.ID, "disk", j.Disk.Name)
	} else if err := writeImage(ctx, j, opts, d); err != nil {
		return "", err
	}
	if err := disk.FixTable(d); err != nil {
		return "", command.Failf(tableFailure(err), "%w", err)
	}
	t, err := disk.ReadTable(d)
	if err != nil {
		return "", command.Failf(agentapi.TypeDeployment, "there is no usable partition table on %s after writing the image: %w", j.Disk.Name, err)
	}
	if len(t.Regions) == 0 {
		return "", command.Failf(agentapi.TypeDeployment, "the partition table on %s has no partitions after writing the image", j.Disk.Name)
	}
	if drive != nil {
		j.Progress(agentapi.Progress{Phase: "config drive", Total: drive.Size})
		n, err := disk.WriteConfigDrive(ctx, d, drive)
		if err != nil {
			return "", command.Failf(agentapi.TypeDeployment, "%w", err)
		}
		j.Log.Info("config drive written", "disk", j.Disk.Name, "partition", n, "bytes", drive.Size)
	}
	return identifier(d), nil
}

func tableFailure(err error) string {
	if ferric.IsCode(err, ferric.CodeNoSpace) {
		return agentapi.TypeDownloadNoSpace
	}
	return agentapi.TypeDeployment
}

// writeImage tries the URLs in turn. Only a server that cannot serve makes it try the next one.
func writeImage(ctx context.Context, j Job, opts image.Options, d disk.Device) error {
	var last error
	for _, u := range j.Info.URLs {
		err := writeFrom(ctx, j, opts, d, u)
		if err == nil {
			return nil
		}
		last = err
		if code := ferric.ErrorCode(err); code != ferric.CodeUnavailable && code != ferric.CodeNotFound && code != ferric.CodeForbidden || ctx.Err() != nil {
			break
		}
		j.Log.Warn("image not written, trying the next URL if there is one", "url", image.DisplayURL(u), "err", err)
	}
	return failure(last)
}

func writeFrom(ctx context.Context, j Job, opts image.Options, d disk.Device, url string) error {
	sum, err := j.Settings.checksum(ctx, j.Info, url, opts)
	if err != nil {
		return err
	}
	src, err := image.Open(ctx, url, opts)
	if err != nil {
		return err
	}
	defer src.Close()
	spec := image.Spec{Declared: j.Info.DiskFormat, Permitted: j.Settings.permitted(), Checksum: sum, AllowMD5: j.Settings.AllowMD5}
	info, err := image.Inspect(ctx, src, image.InspectOptions{Permitted: spec.Permitted, Declared: spec.Declared})
	if err != nil {
		return err
	}
	if info.VirtualSize > d.Size() {
		return ferric.Errorf(ferric.CodeNoSpace, "the image %s needs %d bytes, the disk %s has %d", j.Info.ID, info.VirtualSize, d.Name(), d.Size())
	}
	// What was on the disk before must not show through behind the image: backup tables, RAID superblocks.
	if err := disk.WipeMetadata(ctx, d, nil); err != nil {
		return err
	}
	j.Log.Info("writing the image", "image", j.Info.ID, "url", image.DisplayURL(url), "format", info.Format, "size", info.VirtualSize, "disk", d.Name())
	res, err := image.Write(ctx, src, d, spec, progress(j))
	if err != nil {
		return err
	}
	mbs := float64(res.VirtualSize) / (1 << 20) / max(res.Duration.Seconds(), 0.001)
	j.Log.Info("image written", "image", j.Info.ID, "disk", d.Name(), "took", res.Duration.Round(time.Millisecond),
		"read", res.ReadBytes, "written", res.WrittenBytes, "zeros", res.ZeroBytes, "MiB/s", fmt.Sprintf("%.0f", mbs), res.Algorithm, res.Digest)
	return nil
}

// progress reports to the conductor at every call and to the console every tenth of the image or ten seconds.
func progress(j Job) image.Progress {
	var told time.Time
	step := -1
	return func(s image.Status) {
		p := agentapi.Progress{Phase: "write image", Done: s.ReadBytes, Total: max(s.TotalBytes, 0)}
		j.Progress(p)
		if tenth := p.Percent() / 10; tenth != step || time.Since(told) > 10*time.Second {
			step, told = tenth, time.Now()
			j.Log.Info("image", "percent", p.Percent(), "read", s.ReadBytes, "written", s.WrittenBytes)
		}
	}
}

// identifier is the signature in the MBR, which is how a whole disk is named in place of a root file system. On a GPT
// disk it is usually 0x00000000.
func identifier(d disk.Device) string {
	b := make([]byte, 4)
	if _, err := d.ReadAt(b, 440); err != nil {
		return ""
	}
	return fmt.Sprintf("0x%02x%02x%02x%02x", b[3], b[2], b[1], b[0])
}

// maxDriveText bounds the text of a config drive at a URL, in bytes.
const maxDriveText = 96 << 20

func loadConfigDrive(ctx context.Context, text string, opts image.Options) (*disk.ConfigDrive, error) {
	if isURL(text) {
		// The credentials are the image server's.
		opts.User, opts.Password, opts.Authorization = "", "", ""
		b, err := image.Fetch(ctx, text, maxDriveText, opts)
		if err != nil {
			return nil, command.Failf(agentapi.TypeDeployment, "fetch the config drive: %w", err)
		}
		text = string(b)
	}
	c, err := disk.ParseConfigDrive(text)
	if err != nil {
		return nil, command.Failf(agentapi.TypeDeployment, "%w", err)
	}
	return c, nil
}

func isURL(s string) bool {
	return len(s) > 7 && (s[:7] == "http://" || len(s) > 8 && s[:8] == "https://")
}

// Disk is where the last image was written, "" if none was.
func (w *Writer) Disk() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.on
}
