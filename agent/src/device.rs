//! What a device says of itself: how hot it is, what powers it, what memory it has left, what hour it is.
//!
//! All of it is read from files that Linux keeps; where there is none, nothing is known, and that is no error. It
//! decides nothing.

use chrono::Timelike;
use std::fs;
use std::path::{Path, PathBuf};

/// A device, seen through its file system.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    root: PathBuf,
}

impl Default for Device {
    fn default() -> Self {
        Self { root: "/".into() }
    }
}

impl Device {
    /// The hour of the day, local time.
    pub(crate) fn hour(&self) -> u32 {
        chrono::Local::now().hour()
    }

    /// The hottest part that has a thermometer.
    pub(crate) fn celsius(&self) -> Option<u32> {
        let zones = self.folders("sys/class/thermal");
        let millis = zones.iter().filter_map(|zone| number(&zone.join("temp")));
        millis.max().map(|millis| (millis / 1_000) as u32)
    }

    /// Whether mains power is there. A device without a battery has nothing else.
    pub(crate) fn on_mains(&self) -> bool {
        let supplies = self.folders("sys/class/power_supply");
        let is = |supply: &PathBuf, kind: &str| line(&supply.join("type")).is_some_and(|line| line == kind);
        let online = |supply: &PathBuf| number(&supply.join("online")) == Some(1);
        let mains = |supply: &PathBuf| is(supply, "Mains") || is(supply, "USB");
        let has_battery = supplies.iter().any(|supply| is(supply, "Battery"));
        !has_battery || supplies.iter().any(|supply| mains(supply) && online(supply))
    }

    /// Bytes that this process may still take: what the system has left, and what its control group has.
    pub(crate) fn memory_left(&self) -> Option<u64> {
        let info = fs::read_to_string(self.root.join("proc/meminfo")).ok();
        let free = info.as_deref().and_then(available);
        [free, self.group_left()].into_iter().flatten().min()
    }

    /// Control groups, version 2: the tightest limit on the way up.
    fn group_left(&self) -> Option<u64> {
        let groups = fs::read_to_string(self.root.join("proc/self/cgroup")).ok()?;
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?.to_string();
        let top = self.root.join("sys/fs/cgroup");
        let way_up = Path::new(&own).ancestors().map(|group| top.join(group));
        let left = |group: PathBuf| {
            let most = number(&group.join("memory.max"))?;
            Some(most.saturating_sub(number(&group.join("memory.current")).unwrap_or(0)))
        };
        way_up.filter_map(left).min()
    }

    fn folders(&self, path: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    }
}

/// Of proc_meminfo(5).
fn available(info: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kb| kb * 1_024)
}

fn line(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim().to_string())
}

fn number(file: &Path) -> Option<u64> {
    line(file)?.parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A device that has just these files.
    pub(crate) fn device(files: &[(&str, &str)]) -> (tempfile::TempDir, Device) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let device = Device { root: folder.path().into() };
        (folder, device)
    }

    #[test]
    fn a_device_without_these_files_knows_nothing_and_is_on_mains() {
        let (_folder, device) = device(&[]);
        assert_eq!((device.celsius(), device.memory_left(), device.on_mains()), (None, None, true));
    }

    #[test]
    fn the_hottest_zone_counts() {
        let zones = [
            ("sys/class/thermal/thermal_zone0/temp", "41000\n"),
            ("sys/class/thermal/thermal_zone1/temp", "65432\n"),
        ];
        let (_folder, device) = device(&zones);
        assert_eq!(device.celsius(), Some(65));
    }

    #[test]
    fn with_a_battery_mains_must_be_online() {
        let battery = ("sys/class/power_supply/BAT0/type", "Battery\n");
        let (_folder, unplugged) = device(&[
            battery,
            ("sys/class/power_supply/AC/type", "Mains\n"),
            ("sys/class/power_supply/AC/online", "0\n"),
        ]);
        assert!(!unplugged.on_mains());
        let (_folder, plugged) = device(&[
            battery,
            ("sys/class/power_supply/AC/type", "Mains\n"),
            ("sys/class/power_supply/AC/online", "1\n"),
        ]);
        assert!(plugged.on_mains());
    }

    #[test]
    fn the_least_of_what_is_left_counts() {
        let files = [
            ("proc/meminfo", "MemTotal: 900 kB\nMemAvailable:    500 kB\n"),
            ("proc/self/cgroup", "0::/system.slice/rafty-agent.service\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/rafty-agent.service/memory.max", "300000\n"),
            ("sys/fs/cgroup/system.slice/rafty-agent.service/memory.current", "100000\n"),
        ];
        let (_folder, limited) = device(&files);
        assert_eq!(limited.memory_left(), Some(200_000));
        let (_folder, unlimited) = device(&files[..2]);
        assert_eq!(unlimited.memory_left(), Some(512_000));
    }
}
