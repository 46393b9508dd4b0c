//! The disk itself, seen through the system calls of an ordinary program.
#![cfg(test)]

use super::{Disk, Loss, available};
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

fn disk(seed: u64) -> Option<Disk> {
    available().then(|| Disk::mount(seed).unwrap())
}

fn sync_dir(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

/// Makes a file with its name, all durable.
fn durable_file(disk: &Disk, name: &str, bytes: &[u8]) -> File {
    let file = File::options().create_new(true).read(true).write(true).open(disk.join(name)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_all().unwrap();
    sync_dir(disk.path());
    file
}

fn cut_and_revive(disk: &Disk, loss: Loss) {
    disk.cut(loss);
    disk.revive();
}

#[test]
fn what_was_synced_stays_and_the_rest_goes() {
    let Some(disk) = disk(1) else { return };
    let file = durable_file(&disk, "a", b"old");
    file.write_all_at(b"new and longer", 0).unwrap();
    fs::write(disk.join("b"), "never synced").unwrap();
    assert_eq!(fs::read(disk.join("a")).unwrap(), b"new and longer");
    cut_and_revive(&disk, Loss::Everything);
    assert_eq!(fs::read(disk.join("a")).unwrap(), b"old");
    assert!(!disk.join("b").exists());
    assert_eq!(disk.counters().cuts_with_loss, 1);
}

#[test]
fn a_name_needs_a_sync_of_its_directory() {
    let Some(disk) = disk(1) else { return };
    fs::create_dir(disk.join("d")).unwrap();
    sync_dir(disk.path());
    let file = File::create_new(disk.join("d/a")).unwrap();
    (&file).write_all(b"data").unwrap();
    file.sync_all().unwrap();
    cut_and_revive(&disk, Loss::Everything);
    assert!(!disk.join("d/a").exists(), "its data is durable, its name is not");
    fs::write(disk.join("d/a"), "data").unwrap();
    sync_dir(&disk.join("d"));
    cut_and_revive(&disk, Loss::Everything);
    assert_eq!(fs::read(disk.join("d/a")).unwrap(), b"", "its name is durable, its data is not");
}

#[test]
fn a_rename_shows_the_old_file_or_the_new_one() {
    let mut seen = [0; 2];
    for seed in 0..20 {
        let Some(disk) = disk(seed) else { return };
        durable_file(&disk, "a", b"old");
        durable_file(&disk, "a.tmp", b"new");
        fs::rename(disk.join("a.tmp"), disk.join("a")).unwrap();
        cut_and_revive(&disk, Loss::Subset);
        let is_new = fs::read(disk.join("a")).unwrap() == b"new";
        assert_eq!(disk.join("a.tmp").exists(), !is_new);
        seen[usize::from(is_new)] += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 0, "both happen: {seen:?}");
}

#[test]
fn a_torn_write_ends_at_a_sector() {
    let mut ends = Vec::new();
    for seed in 0..20 {
        let Some(disk) = disk(seed) else { return };
        let file = durable_file(&disk, "a", &[0; 8192]);
        file.write_all_at(&[1; 8000], 100).unwrap();
        cut_and_revive(&disk, Loss::Ordered);
        let bytes = fs::read(disk.join("a")).unwrap();
        let end = bytes.iter().rposition(|byte| *byte == 1).map_or(100, |last| last + 1);
        assert!(bytes[100..end].iter().all(|byte| *byte == 1), "a prefix of the write");
        assert!(end == 100 || end == 8100 || end % 512 == 0, "torn at {end}");
        ends.push(end);
    }
    ends.sort_unstable();
    ends.dedup();
    assert!(ends.len() > 3, "{ends:?}");
}

#[test]
fn any_sectors_of_any_writes_may_survive() {
    let mut later_without_earlier = false;
    for seed in 0..20 {
        let Some(disk) = disk(seed) else { return };
        let file = durable_file(&disk, "a", &[0; 4 * 4096]);
        for number in 0..4_u8 {
            file.write_all_at(&[number + 1; 4096], u64::from(number) * 4096).unwrap();
        }
        cut_and_revive(&disk, Loss::Subset);
        let bytes = fs::read(disk.join("a")).unwrap();
        for (place, sector) in bytes.chunks(512).enumerate() {
            let written = (place / 8 + 1) as u8;
            assert!(sector.iter().all(|byte| *byte == 0) || sector.iter().all(|byte| *byte == written));
        }
        later_without_earlier |= bytes[0] == 0 && bytes[4 * 4096 - 512] == 4;
    }
    assert!(later_without_earlier);
}

#[test]
fn lengths_go_like_data() {
    let Some(disk) = disk(3) else { return };
    let file = durable_file(&disk, "a", &[7; 5000]);
    file.set_len(100).unwrap();
    file.set_len(6000).unwrap();
    assert_eq!(fs::read(disk.join("a")).unwrap()[..101], [[7; 100].as_slice(), &[0]].concat());
    cut_and_revive(&disk, Loss::Everything);
    assert_eq!(fs::read(disk.join("a")).unwrap(), [7; 5000]);
    let file = File::options().write(true).open(disk.join("a")).unwrap();
    file.set_len(100).unwrap();
    file.sync_data().unwrap();
    cut_and_revive(&disk, Loss::Everything);
    assert_eq!(fs::read(disk.join("a")).unwrap(), [7; 100]);
}

#[test]
fn a_failed_fsync_has_lost_the_data_and_the_next_one_does_not_tell() {
    let Some(disk) = disk(1) else { return };
    let file = durable_file(&disk, "a", b"old");
    file.write_all_at(b"new", 0).unwrap();
    disk.fail_next_fsync();
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    file.sync_data().unwrap();
    assert_eq!(fs::read(disk.join("a")).unwrap(), b"new", "it is still in the cache");
    cut_and_revive(&disk, Loss::Everything);
    assert_eq!(fs::read(disk.join("a")).unwrap(), b"old");
}

#[test]
fn a_failed_fsync_of_a_directory_has_lost_the_names_and_the_next_one_does_not_tell() {
    let Some(disk) = disk(1) else { return };
    durable_file(&disk, "old", b"old");
    durable_file(&disk, "replaced.tmp", b"new");
    File::create_new(disk.join("lost")).unwrap().sync_all().unwrap();
    fs::remove_file(disk.join("old")).unwrap();
    fs::rename(disk.join("replaced.tmp"), disk.join("replaced")).unwrap();
    disk.fail_directory_fsync_after(1);
    let failed = File::open(disk.path()).and_then(|directory| directory.sync_all());
    assert_eq!(failed.unwrap_err().raw_os_error(), Some(5));
    sync_dir(disk.path());
    assert!(disk.join("lost").exists() && disk.join("replaced").exists() && !disk.join("old").exists());
    assert_eq!(disk.counters().failed_syncs, 1);
    cut_and_revive(&disk, Loss::Everything);
    assert!(!disk.join("lost").exists() && !disk.join("replaced").exists());
    assert!(disk.join("old").exists() && disk.join("replaced.tmp").exists());
}

#[test]
fn a_lost_name_is_durable_once_it_is_written_anew() {
    let Some(disk) = disk(1) else { return };
    File::create_new(disk.join("a")).unwrap().sync_all().unwrap();
    disk.fail_directory_fsync_after(1);
    File::open(disk.path()).and_then(|directory| directory.sync_all()).unwrap_err();
    fs::rename(disk.join("a"), disk.join("b")).unwrap();
    fs::rename(disk.join("b"), disk.join("a")).unwrap();
    sync_dir(disk.path());
    cut_and_revive(&disk, Loss::Everything);
    assert!(disk.join("a").exists());
}

#[test]
fn every_open_handle_is_told_once_of_a_failed_fsync() {
    let Some(disk) = disk(1) else { return };
    let file = durable_file(&disk, "a", b"old");
    let other = File::open(disk.join("a")).unwrap();
    file.write_all_at(b"new", 0).unwrap();
    disk.fail_fsync_after(2);
    sync_dir(disk.path());
    other.sync_data().unwrap();
    assert!(file.sync_data().is_err());
    assert!(other.sync_data().is_err());
    other.sync_data().unwrap();
    File::open(disk.join("a")).unwrap().sync_data().unwrap();
}

#[test]
fn the_cache_hides_what_a_failed_fsync_lost_until_it_is_dropped() {
    if !available() {
        return;
    }
    let disk = Disk::mount_cached(1).unwrap();
    let file = durable_file(&disk, "a", &[1; 20_000]);
    // Not whole pages.
    file.write_all_at(&[2; 19_000], 500).unwrap();
    disk.fail_next_fsync();
    assert!(file.sync_data().is_err());
    drop(file);
    let expected = [vec![1; 500], vec![2; 19_000], vec![1; 500]].concat();
    assert!(fs::read(disk.join("a")).unwrap() == expected, "another handle still reads it");
    let file = File::open(disk.join("a")).unwrap();
    file.sync_data().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert!(fs::read(disk.join("a")).unwrap() == [1; 20_000], "the disk never had it");
}

#[test]
fn a_cut_takes_the_cache_too() {
    if !available() {
        return;
    }
    let disk = Disk::mount_cached(1).unwrap();
    let file = durable_file(&disk, "a", &[1; 20_000]);
    file.write_all_at(&[2; 30_000], 0).unwrap();
    cut_and_revive(&disk, Loss::Everything);
    assert!(fs::read(disk.join("a")).unwrap() == [1; 20_000]);
}

#[test]
fn nothing_answers_without_power_and_old_handles_stay_dead() {
    let Some(disk) = disk(1) else { return };
    let file = durable_file(&disk, "a", b"old");
    disk.cut_after(3, Loss::Everything);
    file.write_all_at(b"one", 0).unwrap();
    file.sync_data().unwrap();
    assert!(file.write_all_at(b"two", 0).is_err());
    assert!(disk.is_cut() && disk.wait_for_cut(Duration::ZERO));
    assert!(file.sync_data().is_err() && fs::read(disk.join("a")).is_err());
    disk.revive();
    assert!(file.write_all_at(b"three", 0).is_err(), "no handle survives a power cut");
    assert_eq!(fs::read(disk.join("a")).unwrap(), b"one");
}

#[test]
fn a_full_disk_says_so() {
    let Some(disk) = disk(1) else { return };
    let file = durable_file(&disk, "a", &[1; 1000]);
    disk.leave_free(Some(10_000));
    assert_eq!(file.write_all_at(&[2; 12_000], 0).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(rustix::fs::statvfs(disk.path()).unwrap().f_bavail <= 2);
    file.write_all_at(&[2; 1000], 0).unwrap();
    disk.leave_free(None);
    file.write_all_at(&[2; 12_000], 0).unwrap();
    assert_eq!(disk.counters().refused_for_room, 1);
}

#[test]
fn a_slow_disk_is_slow_and_a_hanging_one_hangs() {
    let Some(disk) = disk(1) else { return };
    let file = durable_file(&disk, "a", b"old");
    disk.slow(Duration::from_millis(50));
    let start = Instant::now();
    file.write_all_at(b"new", 0).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(50));
    disk.slow(Duration::ZERO);
    assert_eq!(disk.counters().delayed, 1);
    disk.hang_fsyncs(true);
    let syncing = std::thread::spawn(move || file.sync_data());
    // What is not an fsync goes on meanwhile.
    assert_eq!(fs::read(disk.join("a")).unwrap(), b"new");
    assert!(!syncing.is_finished());
    disk.hang_fsyncs(false);
    syncing.join().unwrap().unwrap();
}

#[test]
fn equal_operations_and_seeds_leave_equal_disks() {
    let run = || {
        let disk = disk(42)?;
        let file = durable_file(&disk, "a", &[0; 40_000]);
        for number in 0..50_u8 {
            file.write_all_at(&[number; 3000], u64::from(number) * 700).unwrap();
        }
        fs::write(disk.join("b"), "b").unwrap();
        cut_and_revive(&disk, Loss::Subset);
        Some((fs::read(disk.join("a")).unwrap(), disk.join("b").exists()))
    };
    assert!(run() == run());
}
