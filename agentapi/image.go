package agentapi

// ImageInfo tells the agent which image to write and how to check it.
type ImageInfo struct {
	ID              string   `json:"id"`   // names the image in messages; the same id is not written twice
	URLs            []string `json:"urls"` // tried in turn
	DiskFormat      string   `json:"disk_format,omitempty"`
	ContainerFormat string   `json:"container_format,omitempty"`
	Checksum        string   `json:"checksum,omitempty"` // md5, sha256 or sha512 by its length, or the URL of a checksum file
	OSHashAlgo      string   `json:"os_hash_algo,omitempty"`
	OSHashValue     string   `json:"os_hash_value,omitempty"`
	StreamRawImages bool     `json:"stream_raw_images,omitempty"`
	ImageType       string   `json:"image_type,omitempty"` // "whole-disk" or "partition"
	NodeUUID        string   `json:"node_uuid,omitempty"`
	DeployBootMode  string   `json:"deploy_boot_mode,omitempty"` // "bios" or "uefi"
	BootOption      string   `json:"boot_option,omitempty"`
	DiskLabel       string   `json:"disk_label,omitempty"`
	// ConfigDrive is base64 of a gzipped ISO 9660 or VFAT file system, or the URL of one.
	ConfigDrive string `json:"configdrive,omitempty"`
	// Credentials for the image server: a ready Authorization header in base64, or user and password.
	RequestAuthorization string            `json:"image_request_authorization,omitempty"`
	ServerAuthStrategy   string            `json:"image_server_auth_strategy,omitempty"` // "http_basic"
	ServerUser           string            `json:"image_server_user,omitempty"`
	ServerPassword       string            `json:"image_server_password,omitempty"`
	Proxies              map[string]string `json:"proxies,omitempty"`
	NoProxy              string            `json:"no_proxy,omitempty"`
	// Partition images: sizes in MiB.
	RootMB            int    `json:"root_mb,omitempty"`
	SwapMB            int    `json:"swap_mb,omitempty"`
	EphemeralMB       int    `json:"ephemeral_mb,omitempty"`
	EphemeralFormat   string `json:"ephemeral_format,omitempty"`
	PreserveEphemeral bool   `json:"preserve_ephemeral,omitempty"`
}

// PrepareImage is the command that writes an image and the config drive ("" for none) to the root device.
func PrepareImage(info ImageInfo, configDrive string) Command {
	params := map[string]any{"image_info": info}
	if configDrive != "" {
		params["configdrive"] = configDrive
	}
	return Command{Name: CmdPrepareImage, Params: params}
}

// WriteImageStep is the in-band deploy step that does the same as PrepareImage.
func WriteImageStep(info ImageInfo, configDrive string) Step {
	args := map[string]any{"image_info": info, "configdrive": nil}
	if configDrive != "" {
		args["configdrive"] = configDrive
	}
	return Step{Step: "write_image", Interface: "deploy", Args: args}
}

// InstallBootloader is the command that makes the written disk bootable: for a whole-disk image in UEFI mode it
// adds a firmware boot entry. bootMode is "bios" or "uefi"; UUIDs may be empty.
func InstallBootloader(rootUUID, efiUUID, bootMode string) Command {
	return Command{Name: CmdInstallBootloader, Params: map[string]any{
		"root_uuid":                 Text(rootUUID),
		"efi_system_part_uuid":      Text(efiUUID),
		"prep_boot_part_uuid":       nil,
		"target_boot_mode":          bootMode,
		"ignore_bootloader_failure": nil,
	}}
}

// Logs is the result of log.collect_system_logs.
type Logs struct {
	SystemLogs string `json:"system_logs"` // base64 of a tar.gz
}
