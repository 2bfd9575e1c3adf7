import StorageMessages

/// The watched part of an image's file tree while its layers are laid one over another. Paths are resolved in this tree
/// alone, as a container sees them: nothing here ever touches the host's files.
struct ImageTree {
  /// Symbolic links followed in one resolution, as in Linux.
  static let linksMax = 40
  /// Watched paths have six components; only links lead deeper. The tree is walked by recursion.
  static let depthMax = 128

  /// A file whose contents were read, or one that could not be (`database` and `os` nil).
  final class File {
    let database: PackageDatabase?
    let os: OSRelease?
    let layer: Int

    init(database: PackageDatabase?, os: OSRelease?, layer: Int) {
      self.database = database
      self.os = os
      self.layer = layer
    }
  }

  final class Node {
    fileprivate(set) var kind: Kind
    fileprivate(set) var children: [[UInt8]: Node] = [:]

    fileprivate init(_ kind: Kind) { self.kind = kind }
  }

  enum Kind {
    case directory
    case symlink([UInt8])
    case file(File)
    /// A device or FIFO.
    case other
  }

  enum Lookup {
    /// `path` is where it is, without links.
    case found(Node, path: [UInt8])
    /// Not in the tree. `path` is where it would be; `link` the last symbolic link on the way there, if there was one.
    case absent(path: [UInt8], link: [UInt8]?)
    /// Too many links, or too deep.
    case unresolvable
  }

  private let root = Node(.directory)

  /// Follows links everywhere, in the last component too.
  func lookUp(_ path: [UInt8]) -> Lookup {
    var walk = Walk(path)
    while let component = walk.next() {
      guard let child = (walk.nodes.last ?? root).children[component] else {
        return .absent(path: walk.path(to: component), link: walk.lastLink)
      }
      if case .symlink(let target) = child.kind {
        guard walk.follow(target, from: component) else { return .unresolvable }
      } else {
        guard walk.enter(component, child) else { return .unresolvable }
      }
    }
    return .found(walk.nodes.last ?? root, path: walk.path)
  }

  enum Placement { case unchanged, changed, unresolvable }

  /// Makes the node at `path` what an entry of a layer says: directories stay what they were below. Links above the last
  /// component are followed, missing directories made.
  func place(_ kind: Kind, at path: [UInt8]) -> Placement {
    let (parentPath, name) = Self.split(path)
    if name.isEmpty { return .unchanged }
    guard let parent = directory(parentPath, isMade: true) else { return .unresolvable }
    if case .directory = kind, case .directory? = parent.children[name]?.kind { return .unchanged }
    parent.children[name] = Node(kind)
    return .changed
  }

  /// Takes away what is at `path`, or only what is below it; false when there was nothing.
  func remove(_ path: [UInt8], onlyBelow: Bool) -> Bool {
    if onlyBelow {
      guard case .found(let node, _) = lookUp(path), !node.children.isEmpty else { return false }
      node.children = [:]
      return true
    }
    let (parentPath, name) = Self.split(path)
    return directory(parentPath, isMade: false)?.children.removeValue(forKey: name) != nil
  }

  private static func split(_ path: [UInt8]) -> (parent: [UInt8], name: [UInt8]) {
    guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { return ([], path) }
    return (Array(path[..<slash]), Array(path[(slash + 1)...]))
  }

  /// The directory at `path`, links followed. With `isMade`, missing ones are made, and what is none gives way, as the entry
  /// below it could not be there otherwise. Nil when it is not there or the path cannot be resolved.
  private func directory(_ path: [UInt8], isMade: Bool) -> Node? {
    var walk = Walk(path)
    while let component = walk.next() {
      let parent = walk.nodes.last ?? root
      let child = parent.children[component]
      switch child?.kind {
      case .symlink(let target)?:
        guard walk.follow(target, from: component) else { return nil }
      case .directory?:
        guard let child, walk.enter(component, child) else { return nil }
      case .file?, .other?, nil:
        guard isMade else { return nil }
        let made = Node(.directory)
        guard walk.enter(component, made) else { return nil }
        parent.children[component] = made
      }
    }
    return walk.nodes.last ?? root
  }

  /// One resolution in progress: where it stands, and what is still to be walked.
  private struct Walk {
    /// From the root to where it stands; the root itself is left out of `names`.
    private(set) var nodes: [Node] = []
    private var names: [[UInt8]] = []
    /// In reverse.
    private var pending: [[UInt8]]
    private var links = 0
    private(set) var lastLink: [UInt8]?

    init(_ path: [UInt8]) { pending = Self.components(path).reversed() }

    /// The next component that is a name.
    mutating func next() -> [UInt8]? {
      while let component = pending.popLast() {
        if component != Array("..".utf8) { return component }
        if !names.isEmpty {
          names.removeLast()
          nodes.removeLast()
        }
      }
      return nil
    }

    /// False when that is too deep.
    mutating func enter(_ name: [UInt8], _ node: Node) -> Bool {
      guard names.count < ImageTree.depthMax else { return false }
      names.append(name)
      nodes.append(node)
      return true
    }

    /// False once there were too many. A link that leaves the root stays at the root, as in a container.
    mutating func follow(_ target: [UInt8], from name: [UInt8]) -> Bool {
      links += 1
      guard links <= ImageTree.linksMax else { return false }
      lastLink = path(to: name, withPending: false)
      if target.first == UInt8(ascii: "/") {
        names = []
        nodes = []
      }
      pending.append(contentsOf: Self.components(target).reversed())
      return true
    }

    /// Where it stands.
    var path: [UInt8] { Array(names.joined(separator: [UInt8(ascii: "/")])) }

    /// Where `name` and what is pending would lead, written out.
    func path(to name: [UInt8], withPending: Bool = true) -> [UInt8] {
      var parts = names + [name]
      if withPending {
        for part in pending.reversed() {
          if part == Array("..".utf8) { _ = parts.popLast() } else { parts.append(part) }
        }
      }
      return Array(parts.joined(separator: [UInt8(ascii: "/")]))
    }

    private static func components(_ path: [UInt8]) -> [[UInt8]] {
      path.split(separator: UInt8(ascii: "/")).filter { !$0.elementsEqual(".".utf8) }.map(Array.init)
    }
  }
}
