package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ferric/lab"
	"ferric/lab/userimage"
)

// labImage builds, or takes from the cache, an image to deploy.
func labImage(ctx context.Context, c *labCall) error {
	var recipe userimage.Recipe
	var options userimage.Options
	out := c.flags.String("out", "", "`DIR` to put the images into (default: leave them in the cache and show where)")
	asJSON := c.flags.Bool("json", false, "show the result as JSON")
	c.flags.StringVar(&recipe.Variant, "variant", userimage.Debian, "debian, or tiny: kernel, busybox and dropbear, for tests")
	c.flags.StringVar(&recipe.Kernel, "kernel", userimage.CloudKernel, "cloud (virtio and NVMe), or generic (real servers)")
	c.flags.StringVar(&recipe.Password, "password", "", "password of root on the serial console (default: locked)")
	c.flags.StringVar(&recipe.Mirror, "mirror", "", "`URL` of a Debian mirror")
	c.flags.BoolVar(&options.Refresh, "refresh", false, "build again, with the packages of today")
	c.flags.StringVar(&options.Cache, "cache", "", "cache directory (default $FERRIC_CACHE, or ferric in the user's cache directory)")
	c.flags.Func("size", "`SIZE` of the disk, e.g. 2G (default: as small as it can be)", func(text string) error {
		disk, err := lab.ParseDisk(text)
		recipe.Size = disk.Size
		return err
	})
	c.flags.Func("packages", "more Debian packages, separated by commas", func(text string) error {
		recipe.Packages = append(recipe.Packages, strings.Split(text, ",")...)
		return nil
	})
	if err := c.parse(0, 0); err != nil {
		return err
	}
	options.Progress = func(step string, elapsed time.Duration) {
		fmt.Fprintf(c.stderr, "%6.1fs %s\n", elapsed.Seconds(), step)
	}
	image, err := userimage.Build(ctx, recipe, options)
	if err != nil {
		return err
	}
	if *out != "" {
		if image, err = image.CopyTo(ctx, *out); err != nil {
			return err
		}
	}
	if *asJSON {
		encoder := json.NewEncoder(c.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(image)
	}
	_, err = fmt.Fprintf(c.stdout, "%s\n  sha256 %s\n%s\n  sha256 %s\n", image.Raw, image.RawSHA256, image.QCOW2, image.QCOW2SHA256)
	return err
}
