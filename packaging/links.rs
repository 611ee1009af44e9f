//! Links of the documents. In the source they lead from folder to folder; the packages put
//! all documents side by side.

/// The text with each link to a file of ours reduced to the file's name.
pub fn side_by_side(text: &str) -> String {
    let mut pieces = text.split("](");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str("](");
        match piece.split_once(')') {
            Some((target, rest)) => {
                out.push_str(beside(target));
                out.push(')');
                out.push_str(rest);
            }
            None => out.push_str(piece),
        }
    }
    out
}

/// What a link says where its file lies beside the document.
fn beside(target: &str) -> &str {
    if target.contains("://") || target.starts_with('#') {
        return target;
    }
    let path = target.split('#').next().unwrap_or_default();
    &target[path.rfind('/').map_or(0, |slash| slash + 1)..]
}
