"""How the package uses the C interface, with a stand-in for the library: what is bound, when it is bound again, what is refused."""

import copy
import gc
import os
import subprocess
import sys
import tempfile
import threading
import unittest
import weakref

import torch
from torch import nn

import equinorm
import fake
from equinorm import Companion, EquiNorm
from equinorm import _library as native

COPY, FIRST, SECOND = native.COPY, native.FIRST_MOMENT, native.SECOND_MOMENT


def mlp(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3)).to(dtype)


def train(model, optimizer, steps=1):
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        model(torch.ones(4, 5, dtype=next(model.parameters()).dtype)).pow(2).mean().backward()
        optimizer.step()


def kinds(f):
    """(state kind, slot) of everything that moves with 0.weight."""
    return sorted((k, s) for n, k, s in f.sessions[-1].companions if n == "0.weight")


class Binding(unittest.TestCase):
    def make(self, optimizer=None, model=None, steps=1, **kwargs):
        model = model if model is not None else mlp()
        made = optimizer(model.parameters()) if optimizer else None
        if made and steps:
            train(model, made, steps)
        f, library = fake.library()
        return model, made, f, EquiNorm(model, made, library=library, **kwargs)

    def test_writes_in_place(self):
        model, _, f, e = self.make()
        before = copy.deepcopy(model.state_dict())
        addresses = [p.data_ptr() for p in model.parameters()]
        self.assertTrue(e.step())
        for name, p in model.named_parameters():
            self.assertTrue(torch.equal(p, 2 * before[name]), name)
        self.assertEqual(addresses, [p.data_ptr() for p in model.parameters()])

    def test_version_counters(self):
        model, _, f, e = self.make()
        x = torch.ones(2, 5)
        loss = model(x).sum()
        versions = [p._version for p in model.parameters()]
        e.step()
        self.assertTrue(all(p._version > v for p, v in zip(list(model.parameters())[:-1], versions)))
        with self.assertRaisesRegex(RuntimeError, "modified by an inplace operation"):
            loss.backward()
        model(x).sum().backward()

    def test_version_counters_after_data_was_replaced(self):
        model, _, f, e = self.make()
        model[2].weight.data = model[2].weight.data.clone()
        e.step()
        version = model[2].weight._version
        e.step()
        self.assertGreater(model[2].weight._version, version)

    def test_state_of_each_optimizer(self):
        table = [
            (lambda p: torch.optim.SGD(p, 0.1), []),
            (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), [(FIRST, 0)]),
            (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True), [(FIRST, 0)]),
            (lambda p: torch.optim.Adam(p), [(FIRST, 0), (SECOND, 0)]),
            (lambda p: torch.optim.Adam(p, amsgrad=True), [(FIRST, 0), (SECOND, 0), (SECOND, 1)]),
            (lambda p: torch.optim.AdamW(p, foreach=True), [(FIRST, 0), (SECOND, 0)]),
            (lambda p: torch.optim.NAdam(p), [(FIRST, 0), (SECOND, 0)]),
            (lambda p: torch.optim.RAdam(p), [(FIRST, 0), (SECOND, 0)]),
            (lambda p: torch.optim.Adamax(p), [(FIRST, 0), (FIRST, 1)]),
            (lambda p: torch.optim.RMSprop(p), [(SECOND, 0)]),
            (lambda p: torch.optim.RMSprop(p, momentum=0.9, centered=True), [(FIRST, 0), (SECOND, 0)]),
            (lambda p: torch.optim.Adagrad(p), [(SECOND, 0)]),
            (lambda p: torch.optim.ASGD(p), [(COPY, 0)]),
            (lambda p: torch.optim.Rprop(p), [(COPY, 0), (FIRST, 0)]),
        ]
        for make, expected in table:
            model, optimizer, f, e = self.make(make)
            self.assertEqual(expected, kinds(f), type(optimizer).__name__)
            e.step()

    def test_keep(self):
        model, optimizer, f, e = self.make(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), momentum="keep")
        self.assertEqual([(COPY, 0)], kinds(f))
        with self.assertRaisesRegex(ValueError, "SGD"):
            self.make(lambda p: torch.optim.Adam(p), momentum="keep")
        with self.assertRaises(ValueError):
            self.make(momentum="other")

    def test_subclass_and_unknown_state(self):
        class Mine(torch.optim.SGD):
            def step(self, closure=None):
                super().step()
                for group in self.param_groups:
                    for p in group["params"]:
                        self.state[p]["slow"] = p.detach().clone()
                        self.state[p]["count"] = torch.tensor(1.0)

        with self.assertRaisesRegex(equinorm.UnknownStateError, "'slow' for parameter 0.weight.*state_kinds"):
            self.make(lambda p: Mine(p, 0.1, momentum=0.9))
        _, _, f, _ = self.make(lambda p: Mine(p, 0.1, momentum=0.9), state_kinds={"slow": "copy"})
        self.assertEqual([(COPY, 0), (FIRST, 0)], kinds(f))
        _, _, f, _ = self.make(lambda p: Mine(p, 0.1, momentum=0.9), state_kinds={"slow": "unchanged", "momentum_buffer": "second"})
        self.assertEqual([(SECOND, 0)], kinds(f))

    def test_optimizers_that_cannot(self):
        for make in (torch.optim.LBFGS, torch.optim.Adadelta):
            with self.assertRaisesRegex(equinorm.UnknownStateError, make.__name__):
                self.make(make, steps=0)

    def test_state_appears(self):
        model, optimizer, f, e = self.make(lambda p: torch.optim.Adam(p), steps=0)
        self.assertEqual([], kinds(f))
        e.step()
        train(model, optimizer)
        e.step()
        self.assertEqual([(FIRST, 0), (SECOND, 0)], kinds(f))

    def test_state_is_scaled_where_it_is(self):
        model, optimizer, f, e = self.make(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9))
        before = {n: optimizer.state[p]["momentum_buffer"].clone() for n, p in model.named_parameters()}
        f.scale = lambda name: 4.0
        e.step()
        for n, p in model.named_parameters():
            self.assertTrue(torch.equal(before[n] / 4, optimizer.state[p]["momentum_buffer"]))

    def test_rebinds(self):
        model, optimizer, f, e = self.make(lambda p: torch.optim.Adam(p))
        e.step()

        def changes(change, sessions=0):
            binds, count = f.sessions[-1].binds, len(f.sessions)
            change()
            before = {n: p.detach().clone() for n, p in model.named_parameters()}
            e.step()
            for n, p in model.named_parameters():
                self.assertTrue(torch.equal(before[n] * 2, p), n)
            self.assertEqual(sessions, len(f.sessions) - count)
            return f.sessions[-1].binds - (0 if sessions else binds)

        self.assertEqual(0, changes(lambda: None))
        self.assertEqual(0, changes(lambda: train(model, optimizer)))
        self.assertLess(0, changes(lambda: optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))))
        self.assertEqual(0, changes(lambda: model.load_state_dict(copy.deepcopy(model.state_dict()))))
        self.assertLess(0, changes(lambda: setattr(model[2].weight, "data", model[2].weight.data.clone())))
        self.assertLess(0, changes(lambda: setattr(model[2].weight, "data", model[2].weight.data.t().contiguous().t()), sessions=1))
        self.assertLess(0, changes(lambda: optimizer.state[model[0].weight].update(exp_avg=torch.ones(7, 5))))
        self.assertLess(0, changes(lambda: optimizer.state.pop(model[0].weight)))
        self.assertEqual([], kinds(f))
        self.assertLess(0, changes(lambda: setattr(model[0], "weight", nn.Parameter(torch.ones(7, 5)))))
        optimizer.state.clear()
        self.assertLess(0, changes(model.double, sessions=1))
        self.assertEqual("float64", f.network["weights"][0]["type"])
        self.assertTrue(all(s.freed for s in f.sessions[:-1]))

    def test_channels_last(self):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).to(memory_format=torch.channels_last)
        _, _, f, e = self.make(model=model)
        self.assertEqual(list(model[2].weight.stride()), f.network["weights"][2]["strides"])
        before = model[2].weight.detach().clone()
        e.step()
        self.assertTrue(torch.equal(2 * before, model[2].weight))

    def test_gradients(self):
        model, optimizer, f, e = self.make(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), gradients=True)
        self.assertEqual([(FIRST, 0)], kinds(f))
        for _ in range(3):
            before = model[0].weight.grad.clone()
            e.step()
            self.assertEqual([(FIRST, 0), (FIRST, 1)], kinds(f))
            self.assertTrue(torch.equal(before / 2, model[0].weight.grad))
            optimizer.zero_grad(set_to_none=True)
            e.step()
            self.assertEqual([(FIRST, 0)], kinds(f))
            train(model, optimizer)

    def test_companions(self):
        model = mlp(torch.bfloat16)
        master = {n: p.detach().float().clone().requires_grad_() for n, p in model.named_parameters()}
        ema = torch.optim.swa_utils.AveragedModel(model)
        optimizer = torch.optim.SGD(master.values(), 0.1, momentum=0.9)
        for p in master.values():
            p.grad = torch.ones_like(p)
        optimizer.step()
        f, library = fake.library()
        e = EquiNorm(model, optimizer, library=library, companions=[ema, master, Companion({"0.weight": torch.ones(7, 5)}, "second")])
        self.assertEqual([(COPY, 0), (COPY, 1), (FIRST, 0), (SECOND, 0)], kinds(f))
        before = ema.module[0].weight.detach().clone(), master["0.weight"].detach().clone(), master["0.weight"]._version
        e.step()
        self.assertTrue(torch.equal(2 * before[0], ema.module[0].weight))
        self.assertTrue(torch.equal(2 * before[1], master["0.weight"]))
        self.assertGreater(master["0.weight"]._version, before[2])
        for wrong in ({"nothing": torch.ones(3)}, {"0.weight": torch.ones(3)}, {"0.weight": model[0].weight}):
            with self.assertRaises(equinorm.EquiNormError):
                EquiNorm(model, library=library, companions=[wrong])

    def refused(self, error, change, pattern=""):
        model, optimizer, f, e = self.make(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9))
        e.step()
        change(model, optimizer)
        before = copy.deepcopy(model[4].state_dict())
        for _ in range(2):
            with self.assertRaisesRegex(error, pattern):
                e.step()
        self.assertEqual(1, sum(s.steps for s in f.sessions))
        for n, t in model[4].state_dict().items():
            self.assertTrue(torch.equal(t, before[n]))

    def test_refuses(self):
        def data(value):
            def change(model, optimizer):
                model[2].weight.data = value

            return change

        self.refused(equinorm.WrongShapeError, data(torch.ones(3, 3)), "2.weight")
        self.refused(equinorm.WrongShapeError, lambda m, o: setattr(m[2].weight, "data", m[2].weight.data[:5]), "2.weight")
        self.refused(equinorm.WrongTypeError, data(torch.ones(6, 7, dtype=torch.complex64)), "2.weight")
        self.refused(equinorm.WrongDeviceError, lambda m, o: setattr(m[2], "weight", nn.Parameter(torch.ones(6, 7, device="meta"))), "2.weight")
        self.refused(equinorm.NotBoundError, lambda m, o: delattr(m[2], "weight"), "2.weight was removed")
        self.refused(equinorm.NotBoundError, lambda m, o: m.__setitem__(2, nn.Linear(7, 6)), "module 2 was replaced")

        def free(model, optimizer):
            weight = model[2].weight
            (weight.untyped_storage() if hasattr(weight, "untyped_storage") else weight.storage()).resize_(0)

        self.refused(equinorm.NotBoundError, free, "memory of parameter 2.weight is gone")

        def state(model, optimizer):
            optimizer.state[model[2].weight]["momentum_buffer"] = torch.ones(6, 7, device="meta")

        self.refused(equinorm.WrongDeviceError, state, "momentum_buffer")

    def test_refuses_new_ties(self):
        model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
        _, _, f, e = self.make(model=model)
        model[2].weight = model[0].weight
        with self.assertRaisesRegex(equinorm.InvalidNetworkError, "0.weight and 2.weight are one now"):
            e.step()

    def test_status_becomes_exception(self):
        from equinorm import _errors

        model, _, f, e = self.make()
        for status, error in _errors.BY_STATUS.items():
            f.fail, f.text = status, b"what \xc3\xa9"
            with self.assertRaisesRegex(error, "what é"):
                e.step()
        f.fail, f.text = 99, b""
        with self.assertRaisesRegex(equinorm.EquiNormError, "EN_99"):
            e.step()
        f.fail = 0
        self.assertTrue(e.step())

    def test_options(self):
        _, _, f, e = self.make(p=1.5, c=1.2, sweeps=3, count_biases=True, threads=2)
        o = f.sessions[0].options
        self.assertEqual((1.5, 1.2, 3, 1, 2, 1, native.PENALTY_DEPTH, 1), (o.p, o.c, o.sweeps_per_step, o.count_biases, o.threads, o.every, o.penalty, o.device_kind))
        _, _, f, e = self.make(coarse_correction=False)
        self.assertEqual((native.PENALTY_UNIFORM, 0), (f.sessions[0].options.penalty, f.sessions[0].options.coarse_correction))
        for wrong in ({"p": 0}, {"p": float("nan")}, {"c": -1}, {"sweeps": 0}, {"every": 1.5}):
            with self.assertRaises(equinorm.InvalidArgumentError):
                self.make(**wrong)

    def test_every(self):
        _, _, f, e = self.make(every=3)
        self.assertEqual([False, False, True] * 2, [e.step() for _ in range(6)])
        self.assertEqual(2, f.sessions[0].steps)

    def test_close_and_context(self):
        model, _, f, e = self.make()
        with e:
            e.step()
            self.assertIn("2 free groups of 13 channels", repr(e))
        self.assertTrue(f.sessions[0].freed)
        self.assertIn("closed", repr(e))
        for call in (e.step, e.solve, e.report, e.prepare):
            with self.assertRaises(equinorm.InvalidArgumentError):
                call()
        e.close()

    def test_collected(self):
        model, _, f, e = self.make()
        e = weakref.ref(e)
        gc.collect()
        self.assertIsNone(e())
        self.assertTrue(f.sessions[0].freed)

    def test_solve_report_factors(self):
        model, _, f, e = self.make()
        result = e.solve()
        self.assertTrue(result.converged)
        self.assertIsNone(result.gap_bound)
        self.assertEqual(3.5, e.report().objective_before)
        self.assertEqual(list(range(6)), e.log_factors("2.weight").tolist())
        self.assertEqual(7, len(e.log_factors("2.weight", "input")))
        for wrong in (("x",), ("2.bias", "input"), ("2.weight", "side")):
            with self.assertRaises(equinorm.UnknownTensorError):
                e.log_factors(*wrong)

    def test_networks_by_hand(self):
        model = mlp()
        network = equinorm.describe(model)
        for given in (network, network.to_dict(dict(model.named_parameters())), network.to_json()):
            _, _, f, e = self.make(model=mlp(), network=given)
            self.assertEqual(2, len([g for g in e.groups if not g.reasons]))
        other = network.to_dict()
        other["weights"][0]["name"] = "nothing"
        with self.assertRaisesRegex(equinorm.UnknownTensorError, "nothing"):
            self.make(model=mlp(), network=other)
        with self.assertRaises(equinorm.InvalidNetworkError):
            self.make(network={"format": "other"})

    def test_busy(self):
        model, _, f, e = self.make()
        entered, leave = threading.Event(), threading.Event()

        def scale(name):
            entered.set()
            leave.wait(10)
            return 1.0

        f.scale = scale
        thread = threading.Thread(target=e.step)
        thread.start()
        entered.wait(10)
        with self.assertRaises(equinorm.BusyError):
            e.step()
        with self.assertRaises(equinorm.BusyError):
            e.solve()
        leave.set()
        thread.join()
        self.assertTrue(e.step())

    def test_memory_does_not_grow(self):
        import tracemalloc

        model, optimizer, f, e = self.make(lambda p: torch.optim.Adam(p))
        f.en_session_step = lambda *_: 0
        for _ in range(100):
            e.step()
        gc.collect()
        tracemalloc.start()
        first = tracemalloc.get_traced_memory()[0]
        for _ in range(10000):
            e.step()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - first
        tracemalloc.stop()
        self.assertLess(grown, 20000)

    def test_data_parallel_names(self):
        _, _, f, e = self.make(model=nn.DataParallel(mlp()))
        self.assertIn("0.weight", f.sessions[0].bound)


class Loading(unittest.TestCase):
    def run_python(self, code, **environment):
        env = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True)

    def test_not_found(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_python("import equinorm; equinorm._library.load()", EQUINORM_LIBRARY=folder)
        self.assertIn("LibraryNotFoundError", done.stderr)
        self.assertIn("dotnet publish src/EquiNorm.Native -c Release -r linux-x64", done.stderr)

    def test_not_a_library(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "libequinorm.so")
            with open(path, "w") as file:
                file.write("no library")
            done = self.run_python("import equinorm; equinorm._library.load()", EQUINORM_LIBRARY=path)
        self.assertIn("cannot be loaded", done.stderr)

    def test_another_library(self):
        import ctypes.util

        found = ctypes.util.find_library("m")
        if not found:
            self.skipTest("no libm to take for it")
        with self.assertRaisesRegex(equinorm.LibraryNotFoundError, "no function"):
            native.Library(native.ct.CDLL(found), found)

    def test_structs_match_the_header(self):
        self.assertEqual([56, 48, 48, 56], [native.ct.sizeof(s) for s in (native.Options, native.Tensor, native.StepReport, native.SolveResult)])

    def test_functions_match_the_header(self):
        import pathlib
        import re

        header = pathlib.Path(__file__).parents[2] / "src" / "EquiNorm.Native" / "equinorm.h"
        if not header.is_file():
            self.skipTest("not in the repository")
        text = header.read_text()
        self.assertEqual(set(re.findall(r"\b(en_\w+)\(", re.sub(r"/\*.*?\*/", "", text, flags=re.S))), set(native._PROTOTYPES))
        self.assertEqual(native.ABI_VERSION, int(re.search(r"EN_ABI_VERSION (\d+)", text).group(1)))
        codes = {int(v) for n, v in re.findall(r"(EN_\w+) = (\d+)", text.split("} en_status")[0])}
        from equinorm import _errors

        self.assertEqual(codes - {0}, set(_errors.BY_STATUS))


if __name__ == "__main__":
    unittest.main()
