"""From the files on the command line to a System: which file is what, and how they fit together."""

from dataclasses import dataclass, field

import numpy as np

from . import topology, torchmd_prior
from .errors import ImportFailure, describe
from .frames import kind_of, read_trajectory
from .mlcg_model import NETWORKS, is_mlcg_model, read_network, split_model
from .pdb import read_pdb, standard_name
from .priors import check_prior, count_without_parameters, read_prior
from .reference_energy import neighbour_counts
from .structures import extended_chain, is_configurations, read_configurations
from .system import System
from .torch_file import TorchFile
from .torchmd_model import read_checkpoint, state_dict_of


@dataclass
class Request:
    """What the user asked for: paths, None where not given, and the options."""

    model: str
    structures: str = None
    prior: str = None
    topology: str = None
    embedding: str = None
    cutoff: tuple = None
    activation: str = None
    extended: bool = False  # start from a stretched chain
    notes: list = field(default_factory=list)  # remarks for the user, filled by the import

    @property
    def paths(self):
        return [p for p in (self.model, self.prior, self.topology, self.structures) if p is not None]


def import_system(request):
    """The System of a Request, validated. Raises ImportFailure with one line for the user."""
    kinds = {path: kind_of(path) for path in request.paths}
    if kinds[request.model] != "torch":
        raise ImportFailure(f"{request.model}: not a file written by torch.save")
    model = TorchFile(request.model).load()
    if state_dict_of(model) is not None:
        system = _import_torchmd(request, kinds, model)
    else:
        system = _import_mlcg(request, kinds, model)
    if request.extended:
        system.structures = _extended(system)[None]
    system.sources = list(dict.fromkeys(request.paths))
    system.validate()
    return system


# mlcg


def _import_mlcg(request, kinds, model):
    for option in ("embedding", "cutoff", "activation"):
        if getattr(request, option) is not None:
            raise ImportFailure(f"--{option} is for torchmd checkpoints; {request.model} is not one")
    model, configurations = _split_pair(model)
    if not is_mlcg_model(model):
        raise ImportFailure(
            f"{request.model}: neither a model of mlcg nor a torchmd-net checkpoint ({describe(model)})"
        )
    if kinds.get(request.structures) == "torch":
        first, second = _split_pair(TorchFile(request.structures).load())
        configurations = first if second is None else second
    if configurations is not None and not is_configurations(configurations):
        raise ImportFailure(
            f"{request.structures or request.model}: {describe(configurations)} is no list of AtomicData"
        )
    modules = _mlcg_modules(request, kinds, model)
    if configurations is not None:
        return _from_configurations(request, kinds, modules, read_configurations(configurations))
    return _from_structure(request, kinds, modules)


def _split_pair(value):
    """(model, configurations) of the tuple that mlcg's preparation saves; (value, None) of anything else."""
    if isinstance(value, (tuple, list)) and len(value) == 2 and is_mlcg_model(value[0]):
        return value
    return value, None


def _mlcg_modules(request, kinds, model):
    """{name: Module} of the model and the prior file."""
    modules = split_model(model)
    if request.prior is None:
        return modules
    if kinds[request.prior] != "torch":
        raise ImportFailure(f"{request.prior}: the prior of an mlcg model is a file written by torch.save")
    prior = TorchFile(request.prior).load()
    if not is_mlcg_model(prior):
        raise ImportFailure(f"{request.prior}: not a prior of mlcg ({describe(prior)})")
    for name, module in split_model(prior).items():
        if name in modules:
            raise ImportFailure(f"the energy term {name} is in {request.model} and in {request.prior}")
        modules[name] = module
    return modules


def _from_configurations(request, kinds, modules, found):
    network, terms = _read_terms(modules, found.lists, found.types, request.notes)
    for name, atoms in found.lists.items():
        if name not in modules and len(atoms):
            request.notes.append(f"{len(atoms)} terms {name} have no prior and are not used")
    molecule = None
    if request.topology is not None:
        molecule = _molecule(request.topology, kinds, "five-bead" if found.types.max() > 20 else "ca")
        _same_types(request.topology, molecule, found.types)
    beads = molecule.beads if molecule else topology.name_beads(found.types, found.masses)
    beads.mass = found.masses
    positions = found.positions
    if request.structures is not None and kinds[request.structures] != "torch":
        positions = _positions(request, kinds, molecule, found.types)
    if found.ignored:
        request.notes.append(f"not used of the configurations: {', '.join(found.ignored)}")
    bonds = molecule.bonds if molecule else _bonds_of(terms)
    return _finish(request, System("mlcg", beads, bonds, network, terms, positions))


def _from_structure(request, kinds, modules):
    """Without AtomicData: the molecule is built here from a PDB file."""
    path = request.topology or request.structures
    if path is None or kinds[path] != "pdb":
        raise ImportFailure(
            f"{request.model} holds no structures: give --structures FILE with AtomicData, or a PDB file "
            "(--structures, or --topology beside a trajectory)"
        )
    names = [name for name, module in modules.items() if module.kind not in NETWORKS]
    if not names:
        raise ImportFailure(f"{request.model} has no prior: give --prior, or AtomicData with --structures")
    for name in names:
        if modules[name].kind.startswith("Static"):
            raise ImportFailure(f"the prior {name} is specialised: give the AtomicData saved with it")
    molecule = _molecule(path, kinds, topology.guess_mapping(names, request.prior or request.model))
    for name in topology.missing_terms(names, molecule.lists):
        raise ImportFailure(f"the molecule has terms {name}, for which the prior has no parameters")
    network, terms = _read_terms(modules, molecule.lists, molecule.beads.type, request.notes)
    for term in terms:
        absent = count_without_parameters(term)
        if absent:
            raise ImportFailure(f"the prior {term.name} has no parameters for {absent} terms of the molecule")
    positions = _positions(request, kinds, molecule, molecule.beads.type)
    return _finish(request, System("mlcg", molecule.beads, molecule.bonds, network, terms, positions))


def _read_terms(modules, lists, types, notes):
    """((Network, limit) or None, terms) for a molecule with these term lists and bead types."""
    network, terms = None, []
    for name, module in modules.items():
        if module.kind in NETWORKS:
            if network is not None:
                raise ImportFailure(f"{module.path}: a second network, only one is understood")
            network = read_network(module)
            continue
        check_prior(module)
        if name not in lists:
            raise ImportFailure(f"there is no list of the beads of prior {name}")
        terms.append(read_prior(name, module, lists[name], types))
    empty = [term.name for term in terms if not len(term.atoms)]
    if empty:
        notes.append(f"no such terms in this molecule: {', '.join(empty)}")
    for term in terms:
        absent = count_without_parameters(term)
        if absent:
            notes.append(f"{absent} of {len(term.params)} terms {term.name} have no parameters (zero energy)")
    return network, [term for term in terms if len(term.atoms)]


# torchmd


def _import_torchmd(request, kinds, checkpoint):
    embedding = torchmd_prior.load_embedding(request.embedding)
    network = read_checkpoint(checkpoint, request.cutoff, request.activation)
    if request.prior is None or kinds[request.prior] != "text":
        raise ImportFailure(
            f"{request.model} is a torchmd checkpoint: give its force field (YAML) with --prior"
        )
    field_ = torchmd_prior.load_yaml(request.prior)
    path = request.topology or request.structures
    if path is None or kinds[path] not in ("psf", "pdb"):
        raise ImportFailure(
            f"{request.model} is a torchmd checkpoint: give a PSF or PDB file with --topology"
        )
    molecule = None
    if kinds[path] == "psf":
        chain = torchmd_prior.read_psf(path)
    else:
        molecule = _molecule(path, kinds, "ca")
        chain = torchmd_prior.chain_of(molecule)
    beads = torchmd_prior.read_beads(chain, field_, embedding)
    terms = torchmd_prior.read_terms(chain, field_, request.notes)
    if molecule is None and request.structures is None:
        if not request.extended:
            raise ImportFailure(
                "a PSF file has no coordinates: give --structures FILE (XTC or PDB), or --extended"
            )
        positions = np.zeros((1, len(beads), 3))  # import_system stretches them
    else:
        positions = _positions(request, kinds, molecule, None, chain.residue_names)
    return _finish(request, System("torchmd", beads, chain.bonds, network, terms, positions))


# common


def _molecule(path, kinds, mapping):
    if kinds[path] != "pdb":
        raise ImportFailure(f"{path}: a PDB file was expected, this is {kinds[path]}")
    try:
        return topology.build_molecule(read_pdb(path), mapping)
    except ImportFailure as failure:
        raise ImportFailure(f"{path}: {str(failure).removeprefix(str(path) + ': ')}") from None


def _same_types(path, molecule, types):
    if not np.array_equal(molecule.beads.type, types):
        raise ImportFailure(f"{path} describes another molecule than the configurations (bead types differ)")


def _positions(request, kinds, molecule, types, residues=None):
    """Starting structures: --structures, or the PDB file of the topology."""
    path = request.structures or request.topology
    kind = kinds[path]
    if kind == "pdb":
        protein = read_pdb(path)
        mapping = molecule.mapping if molecule else "ca"
        if types is not None and molecule is None:
            mapping = "five-bead" if types.max() > 20 else "ca"
        other = _molecule(path, kinds, mapping)
        if types is not None:
            _same_types(path, other, types)
        elif other.standard != [standard_name(r) for r in residues]:
            raise ImportFailure(f"{path} has another sequence than the topology")
        return protein.positions[:, other.rows]
    if kind not in ("xtc", "trr", "dcd", "hdf5"):
        raise ImportFailure(f"{path}: no structures in a file of this kind ({kind})")
    return read_trajectory(path, kind, len(types) if types is not None else len(residues))


def _extended(system):
    n_bead = len(system.beads)
    chain = np.stack([np.arange(n_bead - 1), np.arange(1, n_bead)], axis=1)
    if not np.array_equal(np.unique(np.sort(system.bonds, axis=1), axis=0), chain):
        raise ImportFailure("--extended is for one chain of C-alphas; give a stretched structure with --structures")
    return extended_chain(n_bead)


def _bonds_of(terms):
    """Bonds for viewers: the pairs of all harmonic distance terms."""
    atoms = [t.atoms for t in terms if t.feature == "distance" and t.form in ("harmonic", "polynomial")]
    return np.unique(np.sort(np.concatenate(atoms), axis=1), axis=0) if atoms else np.zeros((0, 2), int)


def _finish(request, system):
    """Unpacks (Network, limit); the model's own code keeps only `limit` neighbours per bead, we take all."""
    if system.network is None:
        return system
    system.network, limit = system.network
    n_bead, r_cut = len(system.beads), system.network.r_cut
    if limit is None or n_bead - 1 <= limit:
        return system
    most = max(int(neighbour_counts(frame, r_cut).max()) for frame in system.structures)
    if most > limit:
        raise ImportFailure(
            f"the model keeps at most {limit} neighbours (max_num_neighbors) and a bead has {most} within "
            f"{r_cut:g} A: its graph is truncated, which is not understood"
        )
    request.notes.append(
        f"max_num_neighbors = {limit} is not applied: all neighbours count ({most} at the start)"
    )
    return system
