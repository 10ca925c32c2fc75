"""The record of what testcases reach."""

from farm.results.reached import Reached


def test_a_testcase_that_got_parameters_or_lost_them_is_measured_anew():
    reached = Reached()
    reached.add("test_a.py::test_one", ["crypt_map"], [], "6.12")
    reached.add("test_a.py::test_one_more[x]", ["crypt_map"], [], "6.12")
    reached.add("test_a.py::test_one[x]", ["crypt_ctr"], ["data"], "6.12")
    reached.add("test_a.py::test_one[y]", ["crypt_ctr"], ["data"], "6.12")
    assert set(reached.functions) == {"test_a.py::test_one[x]", "test_a.py::test_one[y]", "test_a.py::test_one_more[x]"}
    assert set(reached.stacks) == set(reached.kernels) == set(reached.functions)
    reached.add("test_a.py::test_one", ["crypt_dtr"], [], "6.12")
    assert set(reached.functions) == {"test_a.py::test_one", "test_a.py::test_one_more[x]"}


def test_what_is_known_grows_with_what_is_measured():
    reached = Reached()
    reached.add("test_a.py::test_one", ["crypt_map", "bio_endio"], [], "6.12")
    assert (reached.known, reached.rarity["crypt_map"]) == ({"crypt_map", "bio_endio"}, 1)
    reached.add("test_a.py::test_two", ["bio_endio", "zs_map"], [], "6.12")
    assert (reached.known, reached.rarity["crypt_map"]) == ({"crypt_map", "bio_endio", "zs_map"}, 2)
