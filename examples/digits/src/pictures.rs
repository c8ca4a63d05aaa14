//! Who gets which pictures: each device its own mix of digits, as PNG files in a folder for each digit.

use image::{GrayImage, ImageFormat};
use rafty_example_comparison::Outcome;
use rafty_learning::{DataSet, Task, split_dirichlet};
use std::fs;
use std::path::{Path, PathBuf};

const IMAGES: &[u8] = include_bytes!("../digits-images.idx3.gz");
const LABELS: &[u8] = include_bytes!("../digits-labels.idx1.gz");

const DEVICES: usize = 8;
/// Pictures on one device, about as many as a person would take.
const ON_A_DEVICE: usize = 200;
/// How unlike the devices are: with this little, most of what one has are two or three digits.
const ALPHA: f64 = 0.3;
/// These are nobody's.
const UNSEEN: usize = 2_000;

/// The folders of the devices, and the one of the pictures that no device has.
pub(crate) fn deal(task: &Task, folder: &Path, seed: u64) -> Outcome<(Vec<PathBuf>, PathBuf)> {
    let all = DataSet::from_idx(IMAGES, LABELS, task)?;
    let shares = split_dirichlet(&all.labels()[..DEVICES * ON_A_DEVICE], DEVICES, ALPHA, seed);
    let mut devices = Vec::new();
    for (share, number) in shares.iter().zip(1..) {
        let device = folder.join(format!("device-{number}"));
        write(&all, share, &device)?;
        devices.push(device);
    }
    let unseen = folder.join("unseen");
    let last: Vec<usize> = (all.len() - UNSEEN..all.len()).collect();
    write(&all, &last, &unseen)?;
    Ok((devices, unseen))
}

fn write(all: &DataSet, positions: &[usize], folder: &Path) -> Outcome<()> {
    let [_, height, width] = all.shape() else { return Err("the pictures are not flat".into()) };
    for position in positions {
        let place = folder.join(all.labels()[*position].to_string());
        fs::create_dir_all(&place)?;
        let grey = all.sample(*position).ok_or("there is no such picture")?;
        let grey = grey.iter().map(|value| *value as u8).collect();
        let picture =
            GrayImage::from_raw(*width as u32, *height as u32, grey).ok_or("a picture is cut off")?;
        picture.save_with_format(place.join(format!("{position:05}.png")), ImageFormat::Png)?;
    }
    Ok(())
}
