/** VSS paths as a tree of branches; a branch with a single branch in it is drawn as one. */
export interface Branch {
  name: string;
  path: string;
  branches: Branch[];
  leaves: string[];
  count: number;
}

export function grow(paths: string[]): Branch {
  const root: Branch = { name: "", path: "", branches: [], leaves: [], count: 0 };
  for (const path of [...paths].sort()) {
    let at = root;
    at.count += 1;
    for (const name of path.split(".").slice(0, -1)) {
      const within = at.path ? `${at.path}.${name}` : name;
      let next = at.branches.find((branch) => branch.path === within);
      if (!next) at.branches.push((next = { name, path: within, branches: [], leaves: [], count: 0 }));
      next.count += 1;
      at = next;
    }
    at.leaves.push(path);
  }
  return narrow(root.branches.length === 1 && !root.leaves.length ? root.branches[0]! : root);
}

function narrow(branch: Branch): Branch {
  const branches = branch.branches.map((child) => {
    let at = child;
    let name = child.name;
    while (at.branches.length === 1 && !at.leaves.length) {
      at = at.branches[0]!;
      name += `.${at.name}`;
    }
    return narrow({ ...at, name });
  });
  return { ...branch, branches };
}
