"""Whitening, compared with the covariance that it leaves and with scikit-learn."""

import pytest
import torch
from sklearn.decomposition import PCA
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import PatchWhitening, Whitening

NEARLY_NOTHING = 1e-9


@pytest.fixture(scope="module")
def images():
    """Images whose neighbouring pixels are alike."""
    noise = torch.randn(60, 2, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return F.avg_pool2d(noise, 3, 1, 1) + 0.1 * noise + 2


def test_whitened_rows_have_mean_0_and_covariance_1(images):
    x = images.flatten(1)[:, :20]
    whitened = Whitening((20,), ridge=NEARLY_NOTHING).double().fit(x)(x)
    torch.testing.assert_close(whitened.mean(0), torch.zeros(20).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cov(whitened.T, correction=0), torch.eye(20).double(), atol=1e-5, rtol=0)


def test_whitened_rows_are_nearest_to_what_they_were(images):
    """The matrix of ZCA is symmetric and positive definite."""
    module = Whitening((2, 9, 9)).double().fit(images)
    torch.testing.assert_close(module.matrix, module.matrix.T)
    assert torch.linalg.eigvalsh(module.matrix).min() > 0
    assert module(images).shape == images.shape


def test_the_ridge_is_added_to_the_eigenvalues(images):
    x = images.flatten(1)[:, :6]
    covariance = torch.cov(x.T, correction=0)
    whitened = Whitening((6,), ridge=0.5).double().fit(x)(x)
    expected = covariance @ torch.linalg.inv(covariance + 0.5 * torch.eye(6))
    torch.testing.assert_close(torch.cov(whitened.T, correction=0), expected)


def test_patches_are_whitened_as_by_scikit_learn(images):
    module = PatchWhitening(2, 3, components=7, ridge=NEARLY_NOTHING).double().fit(images)
    patches = F.unfold(images, 3).mT.reshape(-1, 18)
    expected = torch.from_numpy(PCA(7, whiten=True).fit_transform(patches.numpy()))
    ours = module(images).movedim(1, -1).reshape(-1, 7)
    torch.testing.assert_close(ours.abs(), expected.abs(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(torch.cov(ours.T, correction=0), torch.eye(7).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_padding_keeps_the_size(images, mode):
    module = PatchWhitening(2, 3, padding=1, padding_mode=mode).double().fit(images)
    assert module(images).shape == (60, 18, 9, 9)
    plain = PatchWhitening(2, 3).double()
    plain.load_state_dict(module.state_dict())
    torch.testing.assert_close(module(images)[..., 1:-1, 1:-1], plain(images))


def test_nothing_is_trained_and_without_a_fit_nothing_is_given():
    for module, x in ((Whitening((3,)), torch.ones(2, 3)), (PatchWhitening(1, 2), torch.ones(2, 1, 3, 3))):
        assert not [*module.parameters()]
        assert module(x).isnan().all()


def test_rows_of_another_shape_are_refused():
    with pytest.raises(UsageError, match=r"inputs have the shape \(5, 4\); give \(rows, 3\)"):
        Whitening((3,))(torch.rand(5, 4))
    with pytest.raises(UsageError, match=r"rows of shape \(4, 1, 3, 3\); .* no smaller than a patch"):
        PatchWhitening(1, 5).fit(torch.rand(4, 1, 3, 3))
    with pytest.raises(UsageError, match=r"rows of shape \(5, 4\); give two or more of \(3,\)"):
        Whitening((3,)).fit(torch.zeros(5, 4))
    with pytest.raises(UsageError, match=r"rows of shape \(5, 4\); give \(rows, 2, height, width\)"):
        PatchWhitening(2, 3).fit(torch.zeros(5, 4))
    with pytest.raises(UsageError, match="components=19; write a number from 1 to 18"):
        PatchWhitening(2, 3, components=19)
    with pytest.raises(UsageError, match="ridge=0; write a number above 0"):
        Whitening((3,), ridge=0)
