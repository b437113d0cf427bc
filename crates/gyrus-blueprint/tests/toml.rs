//! Blueprints as TOML: what is read, what is refused, and the position in the error.

use gyrus_blueprint::{Blueprint, Conv2d, MAX_FILE_BYTES, Node, NodeKind, Padding, Pool2d};

/// A file whose middle node `n` has these lines, from line 8 on.
fn with_node(lines: &str) -> String {
    format!(
        "name = \"test\"\n\n[[node]]\nname = \"in\"\nkind = \"Input\"\nshape = [3, 8, 8]\n[[node]]\nname = \
         \"n\"\n{lines}\n[[node]]\nname = \"out\"\nkind = \"Output\"\n"
    )
}

fn kind_of(lines: &str) -> NodeKind {
    Blueprint::from_toml(&with_node(lines)).unwrap().nodes()[1].kind.clone()
}

fn refusal(toml: &str) -> String {
    Blueprint::from_toml(toml).unwrap_err().to_string()
}

#[test]
fn omitted_fields_take_their_defaults() {
    assert_eq!(
        kind_of("kind = \"Conv2d\"\nout_channels = 4\nkernel = 3"),
        NodeKind::from(NodeKind::conv2d(4, 3))
    );
    assert_eq!(kind_of("kind = \"MaxPool2d\"\nkernel = 2"), NodeKind::max_pool2d(2));
    assert_eq!(
        kind_of("kind = \"SumPool2d\"\nkernel = [4, 2]"),
        NodeKind::SumPool2d(Pool2d { kernel: [4, 2], stride: [4, 2], padding: [0, 0] })
    );
    assert_eq!(kind_of("kind = \"BatchNorm\""), NodeKind::batch_norm());
    assert_eq!(kind_of("kind = \"LayerNorm\""), NodeKind::layer_norm());
    assert_eq!(kind_of("kind = \"Flatten\""), NodeKind::flatten());
    assert_eq!(kind_of("kind = \"LIF\"\ntau_membrane_ms = 20"), NodeKind::lif(20.0));
}

#[test]
fn pairs_and_padding() {
    let conv = |padding: &str| {
        kind_of(&format!("kind = \"Conv2d\"\nout_channels = 4\nkernel = [3, 5]\npadding = {padding}"))
    };
    for (text, expected) in [
        ("\"same\"", Padding::Same),
        ("\"valid\"", Padding::Valid),
        ("2", Padding::Explicit([2, 2])),
        ("[0, 1]", Padding::Explicit([0, 1])),
    ] {
        let NodeKind::Conv2d(Conv2d { kernel, padding, .. }) = conv(text) else { panic!("not a Conv2d") };
        assert_eq!((kernel, padding), ([3, 5], expected));
    }
}

#[test]
fn mistakes_are_reported_where_they_are() {
    let at_least = "a whole number, at least 0";
    for (lines, expected) in [
        ("kind = \"ReLU\"\nslope = 0.1", "line 10, column 1: node `n`: `ReLU` has no field `slope`".to_owned()),
        (
            "kind = \"Dropout\"\np = 0.1",
            "line 10, column 1: node `n`: unexpected keys in table: p, available keys: probability".to_owned(),
        ),
        ("kind = \"Dropout\"", "line 7, column 1: node `n`: missing field `probability`".to_owned()),
        (
            "kind = \"Affine\"\nout_features = -3",
            format!("line 10, column 16: node `n`: invalid value: integer `-3`, expected {at_least}"),
        ),
        (
            "kind = \"MaxPool2d\"\nkernel = [2, 2, 2]",
            format!("line 10, column 10: node `n`: invalid length 3, expected {at_least}, or an array of 2"),
        ),
        (
            "kind = \"Conv2d\"\nout_channels = 3\nkernel = 3\npadding = \"full\"",
            format!(
                "line 12, column 11: node `n`: invalid value: string \"full\", expected \"same\", \"valid\" or \
                 {at_least}, or an array of 2; an entry may be [before, behind]"
            ),
        ),
        (
            "kind = \"Dropout\"\nprobability = \"much\"",
            "line 10, column 15: node `n`: invalid type: string \"much\", expected a number".to_owned(),
        ),
        ("shape = 3", "line 7, column 1: node `n`: the node has no `kind`".to_owned()),
        (
            "kind = \"Dropout\"\nprobability = 2",
            "line 7, column 1: node `n` (Dropout): probability is 2; expected a number from 0 up to, but not \
             including, 1"
                .to_owned(),
        ),
        (
            "kind = \"Affine\"\nout_features = 2",
            "line 7, column 1: node `n` (Affine) expects an input of shape [features], got [3, 8, 8]; a Flatten \
             or GlobalAvgPool before it may be missing"
                .to_owned(),
        ),
    ] {
        assert_eq!(refusal(&with_node(lines)), expected);
    }
    let text = refusal(&with_node("kind = \"Conv3d\""));
    assert!(
        text.starts_with("line 9, column 8: node `n`: unknown kind `Conv3d`, expected one of `Input`"),
        "{text}"
    );
}

#[test]
fn the_file_as_a_whole() {
    let good = with_node("kind = \"ReLU\"");
    let edges = |edges: &str| refusal(&good.replace("\n\n", &format!("\nedges = {edges}\n")));
    assert_eq!(
        edges("[[\"in\", \"n\"], [\"n\", \"x\"]]"),
        "line 2, column 23: the edge from `n` to `x` names a node that does not exist: `x`"
    );
    assert_eq!(
        edges("[[\"in\", \"n\", \"out\"]]"),
        "line 2, column 10: an edge is an array of 2 names, [from, to]; got 3"
    );
    assert_eq!(refusal(""), "line 1, column 1: `name` is missing");
    assert_eq!(refusal("name = \"x\""), "there is no Input node; a blueprint has exactly one");
    assert_eq!(
        refusal("name = \"x\"\nnode = 3"),
        "line 2, column 8: `node` must be written as [[node]] tables"
    );
    assert_eq!(refusal("name = \"x\"\nnode = [3]"), "line 2, column 9: a node must be a table");
    assert_eq!(
        refusal("name = \"x\"\nlayers = 3"),
        "line 2, column 1: unknown key `layers`; expected `name`, `edges` or `[[node]]`"
    );
    assert_eq!(refusal(&good.replace("name = \"n\"", "")), "line 7, column 1: this node has no `name`");
    assert_eq!(
        refusal(&good.replace("\"out\"", "\"n\"")),
        "line 10, column 1: two nodes are named `n` (nodes 1 and 2, counted from 0); names must be unique"
    );
    let text = refusal("name = \"ä\" =");
    assert!(text.starts_with("line 1, column 12: "), "{text}");
}

#[test]
fn enormous_files_are_refused_by_their_length_and_node_count() {
    let long = format!("name = \"x\"\n{}", "#".repeat(MAX_FILE_BYTES as usize));
    assert_eq!(refusal(&long), "the blueprint is 4194315 bytes long as TOML; at most 4194304 are accepted");
    assert_eq!(
        refusal(&format!("name = \"x\"\n{}", "[[node]]\n".repeat(20_000))),
        "the blueprint has 20000 nodes; at most 10000 are accepted"
    );
}

#[test]
fn a_blueprint_too_long_to_be_read_back_is_not_written() {
    let input = NodeKind::Input { shape: [1].into() };
    let mut nodes = vec![Node { name: "in".to_owned(), kind: input }];
    // Quotation marks are written as two bytes each.
    nodes.extend(
        (0..9_000)
            .map(|number| Node { name: format!("{}{number}", "'\"".repeat(125)), kind: NodeKind::ReLU }),
    );
    nodes.push(Node { name: "out".to_owned(), kind: NodeKind::Output });
    let edges = (0..9_001).map(|node| (node, node + 1)).chain([(0, 2)]).collect();
    let text = Blueprint::new("long", nodes, edges).unwrap().to_toml().unwrap_err().to_string();
    assert!(text.ends_with("bytes long as TOML; at most 4194304 are accepted"), "{text}");
}

#[test]
fn files_are_named() {
    let missing = std::env::temp_dir().join("gyrus-blueprint-that-does-not-exist.toml");
    let text = Blueprint::load(&missing).unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot read {}: ", missing.display())), "{text}");
    let folder = std::env::temp_dir().join(format!("gyrus-blueprint-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("blueprint.toml");
    std::fs::write(&path, with_node("kind = \"ReLU\"")).unwrap();
    let loaded = Blueprint::load(&path);
    std::fs::write(&path, "name = 3").unwrap();
    let text = Blueprint::load(&path).unwrap_err().to_string();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(loaded.unwrap().nodes().len(), 3);
    assert_eq!(
        text,
        format!("{}: line 1, column 8: invalid type: integer `3`, expected a string", path.display())
    );
}
