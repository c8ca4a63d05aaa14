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

    /// Whether mains power is there. A device without a battery has nothing else; the batteries of a mouse or a keyboard
    /// are not its own. A board that holds a battery for it may show no supply but that battery, whose status tells then.
    pub(crate) fn on_mains(&self) -> bool {
        let supplies = self.folders("sys/class/power_supply");
        let own = supplies.iter().filter(|supply| says(supply, "scope").as_deref() != Some("Device"));
        let is_battery =
            |supply: &&PathBuf| matches!(says(supply, "type").as_deref(), Some("Battery" | "UPS"));
        let (batteries, outside): (Vec<_>, Vec<_>) = own.partition(is_battery);
        let status: Vec<_> = batteries.iter().filter_map(|battery| says(battery, "status")).collect();
        let is_fed = |status: &String| matches!(&**status, "Charging" | "Full" | "Not charging");
        let online = |supply: &&PathBuf| number(&supply.join("online")).is_some_and(|online| online > 0);
        batteries.is_empty()
            || outside.iter().any(online)
            || status.iter().any(is_fed) && !status.iter().any(|status| status == "Discharging")
    }

    /// Bytes that this process may still take: what the system has left, what its control group has, and what its own
    /// limit leaves.
    pub(crate) fn memory_left(&self) -> Option<u64> {
        let info = fs::read_to_string(self.root.join("proc/meminfo")).ok();
        let free = info.as_deref().and_then(|info| kilobytes(info, "MemAvailable:"));
        [free, self.group_left(), self.addresses_left()].into_iter().flatten().min()
    }

    /// Control groups, version 2: the tightest limit on the way up.
    fn group_left(&self) -> Option<u64> {
        let groups = fs::read_to_string(self.root.join("proc/self/cgroup")).ok()?;
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?.to_string();
        let top = self.root.join("sys/fs/cgroup");
        let way_up = Path::new(&own).ancestors().map(|group| top.join(group));
        way_up.filter_map(|group| left_of_group(&group)).min()
    }

    /// What is left of the address space that was granted (`RLIMIT_AS`).
    fn addresses_left(&self) -> Option<u64> {
        let limits = fs::read_to_string(self.root.join("proc/self/limits")).ok()?;
        let granted = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
        let granted: u64 = granted.split_whitespace().next()?.parse().ok()?;
        let status = fs::read_to_string(self.root.join("proc/self/status")).ok()?;
        Some(granted.saturating_sub(kilobytes(&status, "VmSize:")?))
    }

    fn folders(&self, path: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    }
}

/// Pages of files that were not used lately count as taken, but the system gives them up when something needs them: a
/// device that has read much data has no less memory for that.
fn left_of_group(group: &Path) -> Option<u64> {
    let most = number(&group.join("memory.max"))?;
    let taken = number(&group.join("memory.current")).unwrap_or(0);
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let idle = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok());
    Some(most.saturating_sub(taken.saturating_sub(idle.unwrap_or(0))))
}

/// A line of proc_meminfo(5) or proc_pid_status(5), in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kb| kb * 1_024)
}

/// A property of a power supply.
fn says(supply: &Path, property: &str) -> Option<String> {
    line(&supply.join(property))
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
    fn what_powers_a_device_is_read_from_its_own_supplies() {
        let mouse = [
            ("sys/class/power_supply/hid-mouse/type", "Battery\n"),
            ("sys/class/power_supply/hid-mouse/scope", "Device\n"),
            ("sys/class/power_supply/hid-mouse/status", "Discharging\n"),
        ];
        assert!(device(&mouse).1.on_mains(), "a mouse's battery");
        let board = |kind, status| {
            let files =
                [("sys/class/power_supply/ups/type", kind), ("sys/class/power_supply/ups/status", status)];
            device(&files).1.on_mains()
        };
        for status in ["Charging", "Full", "Not charging"] {
            assert!(board("UPS", status) && board("Battery", status), "{status}");
        }
        for status in ["Discharging", "Unknown"] {
            assert!(!board("UPS", status) && !board("Battery", status), "{status}");
        }
        let two_batteries = [
            ("sys/class/power_supply/AC/type", "Mains"),
            ("sys/class/power_supply/AC/online", "0"),
            ("sys/class/power_supply/BAT0/type", "Battery"),
            ("sys/class/power_supply/BAT0/status", "Discharging"),
            ("sys/class/power_supply/BAT1/type", "Battery"),
            ("sys/class/power_supply/BAT1/status", "Not charging"),
        ];
        assert!(!device(&two_batteries).1.on_mains(), "the other battery waits for its turn");
    }

    #[test]
    fn pages_that_can_be_given_up_are_not_taken_and_the_address_space_is_bounded() {
        let unit = [
            ("proc/self/cgroup", "0::/rafty.service\n"),
            ("sys/fs/cgroup/rafty.service/memory.max", "300000\n"),
            ("sys/fs/cgroup/rafty.service/memory.current", "290000\n"),
            ("sys/fs/cgroup/rafty.service/memory.stat", "anon 40000\ninactive_file 200000\nactive_file 9\n"),
        ];
        assert_eq!(device(&unit).1.memory_left(), Some(210_000));
        let granted = |limit| {
            let limits = format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax address space  {limit}  unlimited  bytes\n"
            );
            let files =
                [("proc/self/limits", &*limits), ("proc/self/status", "Name:\trafty\nVmSize:\t  100 kB\n")];
            device(&files).1.memory_left()
        };
        assert_eq!(granted("202400"), Some(100_000));
        assert_eq!(granted("unlimited"), None);
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
