package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"ferric/openstack/glance"
)

// uploadRamdiskCommand puts the kernel and the initramfs into Glance and prints what to write into the configuration.
func uploadRamdiskCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var cloudName, dir, name string
	var public bool
	var timeout time.Duration
	cfg, code := loadConfig("openstack upload-ramdisk", args, stderr, func(fs *flag.FlagSet) {
		fs.StringVar(&cloudName, "os-cloud", "", "`entry` of clouds.yaml with the credentials of whom the images are to belong to")
		fs.StringVar(&dir, "dir", "", "`directory` with kernel and initramfs (default: ramdisk in data_dir, where ferric ramdisk build puts them)")
		fs.StringVar(&name, "name", "ferric-deploy", "beginning of the images' `names`: NAME-kernel and NAME-ramdisk")
		fs.BoolVar(&public, "public", false, "let every project see the images; needs an administrator's role in Glance")
		fs.DurationVar(&timeout, "timeout", time.Hour, "how long it may take")
	})
	if cfg == nil {
		return code
	}
	if dir == "" {
		dir = ramdiskDir(cfg)
	}
	cloud, err := adminSession(cfg, cloudName)
	if err != nil {
		return fail(stderr, err)
	}
	defer cloud.Close()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := glance.New(cloud)
	var ids []string
	for _, part := range []struct{ file, name, format string }{{"kernel", "kernel", "aki"}, {"initramfs", "ramdisk", "ari"}} {
		u := glance.Upload{Name: name + "-" + part.name, Format: part.format, Path: filepath.Join(dir, part.file), Public: public}
		img, made, err := c.Put(ctx, u)
		if err != nil {
			return fail(stderr, fmt.Errorf("%s: %w", u.Name, err))
		}
		what := "was there already, with the same content"
		if made {
			what = "uploaded"
		}
		fmt.Fprintf(stdout, "# %s: image %s, %s, %.1f MiB: %s\n", img.Name, img.ID, img.Visibility, float64(img.Size)/(1<<20), what)
		ids = append(ids, img.ID)
	}
	fmt.Fprintf(stdout, "# For all nodes, in the configuration:\n[boot]\ndeploy_kernel = %q\ndeploy_ramdisk = %q\n", ids[0], ids[1])
	fmt.Fprintf(stdout, "# Or for one: openstack baremetal node set NODE --driver-info deploy_kernel=%s --driver-info deploy_ramdisk=%s\n", ids[0], ids[1])
	return 0
}
