//! Comma-separated values (RFC 4180): quoting, and cells that no spreadsheet takes for a formula. Must never write a cell
//! that begins as a formula does, wherever the text is from.

/// With what a formula begins, in one spreadsheet or another.
const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];

/// Appends a row; its cells are quoted where they must be. A cell that begins as a formula does gets an apostrophe before
/// it.
pub(super) fn write_row<'a>(out: &mut Vec<u8>, cells: impl IntoIterator<Item = &'a str>) {
    for (number, cell) in cells.into_iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_cell(out, cell);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_cell(out: &mut Vec<u8>, cell: &str) {
    let defused = cell.starts_with(FORMULA);
    let quoted = cell.contains(['"', ',', '\r', '\n']);
    if quoted {
        out.push(b'"');
    }
    if defused {
        out.push(b'\'');
    }
    for byte in cell.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    if quoted {
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cells: &[&str], expected: &str) {
        let mut out = Vec::new();
        write_row(&mut out, cells.iter().copied());
        assert_eq!(String::from_utf8_lossy(&out), format!("{expected}\r\n"));
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        check(&["a", "", "김 민지"], "a,,김 민지");
        check(&["a,b", "say \"yes\"", "two\nlines"], "\"a,b\",\"say \"\"yes\"\"\",\"two\nlines\"");
    }

    #[test]
    fn no_cell_is_a_formula() {
        check(&["=1+1", "+1", "-1", "@SUM(A1)"], "'=1+1,'+1,'-1,'@SUM(A1)");
        check(&["\t=1", "=HYPERLINK(\"x\",\"y\")"], "'\t=1,\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
        check(&["a=1", " =1"], "a=1, =1");
    }
}
