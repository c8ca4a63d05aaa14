//! The digits that come with this program, and who gets which of them.
//!
//! Shares are disjoint and non-IID; the held-out images are nobody's. It trains nothing.

use rafty_agent::Failure;
use rafty_learning::{DataSet, Task, split_dirichlet};
use std::path::{Path, PathBuf};

const IMAGES: &[u8] = include_bytes!("../../../examples/digits/digits-images.idx3.gz");
const LABELS: &[u8] = include_bytes!("../../../examples/digits/digits-labels.idx1.gz");
/// How many images no agent gets.
pub(crate) const HELD_OUT: usize = 2_000;

/// The folders of a demo's data.
pub(crate) struct Shares {
    /// One folder for each agent.
    pub(crate) folders: Vec<PathBuf>,
    /// How many images are in each.
    pub(crate) sizes: Vec<usize>,
    /// The images that are scored.
    pub(crate) held_out: DataSet,
}

/// Deals all but the last [`HELD_OUT`] images among `agents`: for each agent the mixture of digits is drawn from a
/// Dirichlet distribution with parameter `alpha`.
pub(crate) fn deal(
    base: &Path,
    task: &Task,
    agents: usize,
    alpha: f64,
    seed: u64,
) -> Result<Shares, Failure> {
    let all = DataSet::from_idx(IMAGES, LABELS, task)?;
    let training = all.len() - HELD_OUT;
    let split = split_dirichlet(&all.labels()[..training], agents, alpha, seed);
    let folder_of = |name: String| base.join("data").join(name);
    let mut folders = Vec::new();
    for (share, number) in split.iter().zip(1..) {
        let folder = folder_of(format!("a{number}"));
        all.write_idx_folder(&folder, share)?;
        folders.push(folder);
    }
    let folder = folder_of("held-out".into());
    let held_out: Vec<usize> = (training..all.len()).collect();
    all.write_idx_folder(&folder, &held_out)?;
    let held_out = DataSet::open(&folder, task)?;
    Ok(Shares { folders, sizes: split.iter().map(Vec::len).collect(), held_out })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_disjoint_and_unlike_each_other() {
        let base = tempfile::tempdir().unwrap();
        let task = Task::digits_mlp();
        let shares = deal(base.path(), &task, 5, 0.5, 3).unwrap();
        assert_eq!(shares.sizes.iter().sum::<usize>(), 8_000);
        assert_eq!(shares.held_out.len(), HELD_OUT);
        let sets: Vec<_> =
            shares.folders.iter().map(|folder| DataSet::open(folder, &task).unwrap()).collect();
        assert_eq!(sets.iter().map(DataSet::len).sum::<usize>(), 8_000);
        let most = |set: &DataSet| {
            (0..10)
                .map(|digit| set.labels().iter().filter(|label| **label == digit).count())
                .max()
                .unwrap_or(0)
        };
        let skewed = sets.iter().filter(|set| most(set) * 5 > set.len()).count();
        assert!(skewed >= 3, "with alpha 0.5 most shares have a digit above a fifth");
    }
}
