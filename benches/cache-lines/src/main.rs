//! Prints the table of cache lines, read-modify-writes and allocations.

#[cfg(dwell_counted)]
use shared_lines::{Operation, count};

#[cfg(not(dwell_counted))]
fn main() {
    eprintln!("compile this with RUSTFLAGS=\"--cfg dwell_counted\"");
}

#[cfg(dwell_counted)]
fn main() {
    println!(
        "| operation | lines with atomics | of these written | read-modify-writes | fences | allocations | written by all threads |"
    );
    println!("|---|---:|---:|---:|---:|---:|---|");
    for operation in Operation::ALL {
        let count = count(operation);
        let shared = count.shared.iter().map(|line| {
            let places: Vec<_> = line.places.iter().map(String::as_str).collect();
            format!("{:.0} %: {}", line.share * 100.0, places.join(", "))
        });
        let shared: Vec<_> = shared.collect();
        let shared = if shared.is_empty() {
            "none".into()
        } else {
            shared.join("; ")
        };
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {shared} |",
            words(operation),
            count.lines,
            count.written,
            count.read_modify_writes,
            count.fences,
            count.allocations,
        );
    }
}

/// `WithAfterTick` is "with after tick".
#[cfg(dwell_counted)]
fn words(operation: Operation) -> String {
    let name = format!("{operation:?}");
    let spaced = name.char_indices().map(|(place, letter)| match letter {
        letter if letter.is_uppercase() && place > 0 => format!(" {}", letter.to_lowercase()),
        letter => letter.to_lowercase().to_string(),
    });
    spaced.collect()
}
