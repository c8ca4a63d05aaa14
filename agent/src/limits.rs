//! When a device trains, and how gently.
//!
//! A device that must not train now takes no part in the round, which goes on without it; the next round asks again.
//! It does not measure how much memory a task needs.

use crate::device::Device;
use crate::settings::{Hours, Settings};
use rafty_learning::TrainControl;
use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

/// How often a training looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The longest pause after a batch.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// What training on this device has to respect.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    hours: Option<Hours>,
    mains_power: bool,
    below_celsius: Option<u32>,
    cpu_percent: u32,
    memory_mb: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { hours: None, mains_power: false, below_celsius: None, cpu_percent: 100, memory_mb: None }
    }
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        let Settings { hours, mains_power, below_celsius, cpu_percent, memory_mb, .. } = *settings;
        Self { hours, mains_power, below_celsius, cpu_percent, memory_mb }
    }
}

impl Limits {
    /// Why the device must not train now, in words.
    pub(crate) fn forbid(&self, device: &Device) -> Option<String> {
        let hour = device.hour();
        if self.hours.is_some_and(|hours| !hours.contains(hour)) {
            return Some(format!("it is {hour} o'clock, outside train_when.hours"));
        }
        if self.mains_power && !device.on_mains() {
            return Some("it is on battery, and train_when.mains_power is set".into());
        }
        let hot = device.celsius().filter(|celsius| self.below_celsius.is_some_and(|most| *celsius >= most));
        hot.map(|celsius| format!("it has {celsius} degrees, not below train_when.below_celsius"))
    }

    /// Why a training that needs so many bytes is too large for the device, with the figures.
    pub(crate) fn too_large(&self, needed: u64, device: &Device) -> Option<String> {
        let allowed = self.memory_mb.map(|mb| mb * 1_000_000);
        let (most, why) = match (allowed, device.memory_left()) {
            (Some(allowed), Some(left)) if left < allowed => (left, "are left"),
            (Some(allowed), _) => (allowed, "are allowed by training.memory_mb"),
            (None, left) => (left?, "are left"),
        };
        let mb = |bytes: u64| bytes.div_ceil(1_000_000);
        (needed > most).then(|| format!("training needs about {} MB and {} MB {why}", mb(needed), mb(most)))
    }
}

/// Passes on what another control says, stops when the limits say so, and pauses after each batch so that training takes
/// no more than its share of a processor.
pub(crate) struct Throttle<'a> {
    limits: &'a Limits,
    device: &'a Device,
    inner: &'a dyn TrainControl,
    batch_began: Cell<Instant>,
    looked: Cell<Instant>,
    forbidden: Cell<bool>,
}

impl<'a> Throttle<'a> {
    pub(crate) fn new(limits: &'a Limits, device: &'a Device, inner: &'a dyn TrainControl) -> Self {
        let now = Cell::new(Instant::now());
        Self { limits, device, inner, batch_began: now.clone(), looked: now, forbidden: Cell::new(false) }
    }

    /// Whether the limits, and not the other control, have stopped it.
    pub(crate) fn was_forbidden(&self) -> bool {
        self.forbidden.get()
    }
}

impl TrainControl for Throttle<'_> {
    fn progress(&self, done: u64, total: u64) {
        self.inner.progress(done, total);
        if done < total {
            thread::sleep(pause(self.batch_began.get().elapsed(), self.limits.cpu_percent));
        }
        self.batch_began.set(Instant::now());
    }

    fn cancelled(&self) -> bool {
        if self.looked.get().elapsed() >= LOOK_EVERY {
            self.looked.set(Instant::now());
            self.forbidden.set(self.limits.forbid(self.device).is_some());
        }
        self.forbidden.get() || self.inner.cancelled()
    }
}

/// How long to rest after working for so long, to have worked for that share of the time.
fn pause(worked: Duration, percent: u32) -> Duration {
    (worked * (100 - percent.clamp(1, 100)) / percent.clamp(1, 100)).min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::device;

    #[test]
    fn work_and_rest_have_the_shares_that_were_set() {
        let ms = Duration::from_millis;
        assert_eq!(pause(ms(100), 100), ms(0));
        assert_eq!(pause(ms(100), 50), ms(100));
        assert_eq!(pause(ms(100), 20), ms(400));
        assert_eq!(pause(Duration::from_secs(3_600), 1), MAX_PAUSE);
    }

    #[test]
    fn heat_battery_and_hour_forbid_training_and_say_so() {
        let (_folder, hot) = device(&[
            ("sys/class/thermal/thermal_zone0/temp", "70000"),
            ("sys/class/power_supply/BAT/type", "Battery"),
        ]);
        let limits = Limits::default();
        assert_eq!(limits.forbid(&hot), None);
        let cool = Limits { below_celsius: Some(71), ..Limits::default() };
        assert_eq!(cool.forbid(&hot), None);
        let too_hot = Limits { below_celsius: Some(70), ..Limits::default() };
        assert!(too_hot.forbid(&hot).unwrap().contains("70 degrees"));
        let mains = Limits { mains_power: true, ..Limits::default() };
        assert!(mains.forbid(&hot).unwrap().contains("battery"));
        let hour = hot.hour();
        let never_now = Limits {
            hours: format!("{}-{}", (hour + 2) % 24, (hour + 3) % 24).parse().ok(),
            ..Limits::default()
        };
        assert!(never_now.forbid(&hot).unwrap().contains("o'clock"));
    }

    #[test]
    fn a_training_that_needs_too_much_memory_is_refused_with_the_figures() {
        let (_folder, small) = device(&[("proc/meminfo", "MemAvailable: 100000 kB\n")]);
        let limits = Limits::default();
        assert_eq!(limits.too_large(102_400_000, &small), None);
        let why = limits.too_large(200_000_000, &small).unwrap();
        assert_eq!(why, "training needs about 200 MB and 103 MB are left");
        let tight = Limits { memory_mb: Some(50), ..Limits::default() };
        assert!(tight.too_large(60_000_000, &small).unwrap().contains("50 MB are allowed"));
        let (_folder, unknown) = device(&[]);
        assert_eq!(limits.too_large(u64::MAX, &unknown), None);
    }

    /// Counts what it is told.
    #[derive(Default)]
    struct Told(Cell<u64>);

    impl TrainControl for Told {
        fn progress(&self, done: u64, _: u64) {
            self.0.set(done);
        }
        fn cancelled(&self) -> bool {
            self.0.get() > 5
        }
    }

    #[test]
    fn it_passes_on_what_the_other_control_says() {
        let (_folder, device) = device(&[]);
        let (limits, told) = (Limits::default(), Told::default());
        let throttle = Throttle::new(&limits, &device, &told);
        throttle.progress(5, 10);
        assert!(!throttle.cancelled());
        throttle.progress(6, 10);
        assert!(throttle.cancelled() && !throttle.was_forbidden());
    }
}
